/** Lets the modules of the page run in Node: bare names mean what the import map of the page says. */

import { readFileSync } from "node:fs";
import { register } from "node:module";

const web = new URL("../../chat_service/web/", import.meta.url);
const page = readFileSync(new URL("index.html", web), "utf8");
const { imports } = JSON.parse(/<script type="importmap">(.*?)<\/script>/s.exec(page)[1]);

const addresses = Object.fromEntries(
  Object.entries(imports).map(([name, path]) => [name, new URL(path.replace(/^\/assets\//, ""), web).href]),
);

const hooks = `
  const addresses = ${JSON.stringify(addresses)};
  export function resolve(name, context, next) {
    return next(addresses[name] ?? name, context);
  }
`;

register(`data:text/javascript,${encodeURIComponent(hooks)}`);
