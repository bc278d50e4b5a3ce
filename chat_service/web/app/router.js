/**
 * The present route as a signal, on the History API. Links are ordinary <a href> elements: clicks on those of
 * this client are taken over, so that opening in a new tab and copying an address work as everywhere.
 */

import { signal } from "@preact/signals";
import { parsePath } from "./routes.js";

/** Where the service is mounted, without the slash at the end: "" or "/chat". */
export const basePath = (document.querySelector("meta[name=service-path]")?.getAttribute("content") ?? "/").replace(/\/$/, "");

/** @type {import("@preact/signals").Signal<import("./routes.js").Route>} */
export const route = signal(readRoute());

/** The path of the page below the mount point, as `parsePath` takes it. */
export function currentPath() {
  const { pathname } = location;
  return pathname.startsWith(basePath) ? pathname.slice(basePath.length) || "/" : pathname;
}

/** The address of a path for `href`. */
export function hrefOf(path) {
  return basePath + path;
}

/**
 * Goes to a path of this client. How many steps this page has gone is kept in the history's state, so that
 * "back" on the screen knows whether there is something of ours to go back to.
 *
 * @param {string} path one of `paths`
 * @param {{replace?: boolean}} [options]
 */
export function navigate(path, { replace = false } = {}) {
  const steps = stepsTaken() + (replace ? 0 : 1);
  if (replace) history.replaceState({ steps }, "", hrefOf(path));
  else history.pushState({ steps }, "", hrefOf(path));
  route.value = readRoute();
}

/** Back to where the reader came from, or to `otherwise` if this page was the first. */
export function goBack(otherwise) {
  if (stepsTaken() > 0) history.back();
  else navigate(otherwise, { replace: true });
}

/** Called once: follows the browser's own buttons, and takes over the clicks on links. */
export function installRouter() {
  addEventListener("popstate", () => {
    route.value = readRoute();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element && event.target.closest("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
    const path = link.pathname.slice(basePath.length);
    if (!link.pathname.startsWith(basePath) || parsePath(path).name === "unknown") return;
    event.preventDefault();
    navigate(path + link.search, { replace: link.dataset.replace !== undefined });
  });
}

function stepsTaken() {
  const steps = history.state?.steps;
  return typeof steps === "number" ? steps : 0;
}

function readRoute() {
  return parsePath(currentPath(), location.search);
}
