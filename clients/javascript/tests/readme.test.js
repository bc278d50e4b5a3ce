/** The example of the README works as it stands, but for the address and the names. */

import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {readFile} from "node:fs/promises";
import {test} from "node:test";
import {fileURLToPath} from "node:url";
import {PASSWORD, aPerson, eventually, nameOf} from "./people.js";
import {Server} from "./server.js";

const FOLDER = new URL("..", import.meta.url);

test("The ten lines of the README chat", async () => {
  const readme = await readFile(new URL("README.md", FOLDER), "utf8");
  const lines = /```js\n([^]*?)```/.exec(readme)?.[1] ?? "";
  assert(lines.trim().split("\n").length <= 10);
  const server = await Server.start();
  try {
    const mai = await aPerson(server.url, "Mai");
    const an = await aPerson(server.url, "An");
    const code = lines
      .replace("http://127.0.0.1:8000", server.url)
      .replace('"mai", "correct horse"', JSON.stringify([nameOf(mai), PASSWORD]).slice(1, -1))
      .replace('searchUsers("an")', `searchUsers("${nameOf(an)}")`);
    mai.stop();
    const child = spawn(process.execPath, ["--experimental-websocket", "--input-type=module", "--eval", code], {
      cwd: fileURLToPath(FOLDER),
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (data) => { output += data; });
    const chat = await eventually(() => an.sortedChats().find((one) => one.lastMessage?.content === "Xin chào!"));
    chat.send("Chào Mai!");
    await eventually(() => output === "An: Chào Mai!\n", "the answer is printed");
    child.kill();
    an.stop();
  } finally {
    await server.remove();
  }
});

test("The README names everything that a client and a chat have", async () => {
  const readme = await readFile(new URL("README.md", FOLDER), "utf8");
  const {Chat, ChatClient} = await import("../src/index.js");
  for (const [type, file] of /** @type {const} */ ([[ChatClient, "client.js"], [Chat, "chat.js"]])) {
    const source = await readFile(new URL(`src/${file}`, FOLDER), "utf8");
    for (const name of Object.getOwnPropertyNames(type.prototype)) {
      if (name === "constructor") continue;
      const comment = new RegExp(`/\\*\\*((?!\\*/)[^])*\\*/\\s*(?:async |get )?${name}\\(`).exec(source)?.[0] ?? "";
      if (comment.includes("@internal")) continue;
      assert(readme.includes(`\`${name}`), `${type.name}.${name} is in the README`);
    }
  }
});
