/*
 * Lets the client open without a network: keeps its page and its files, which a browser has fetched anyway. They
 * are public and the same for everybody. Nothing of the API passes through here, so no token and no message is
 * ever kept; signing out leaves it as it is. Of the version before the files stay, because a page of it may be
 * open yet and load its later parts.
 *
 * The page is asked for at every visit, and taken from here where there is no answer soon; what lies below
 * assets/<version>/ never changes, and is taken from here at once.
 */

// The server writes the version and the paths of its files into this line.
const { version, files } = { version: "", files: [""] };

/** How long a network that is slow, or only looks like one, is waited for where the page is kept. */
const PATIENCE_MS = 3_000;

const worker = /** @type {any} */ (globalThis);
/** Where the client is mounted, with a slash at the end. @type {string} */
const scope = worker.registration.scope;
const FAMILY = `chat-client ${scope} `;
const NAME = FAMILY + version;
const ASSETS = `${scope}assets/`;
/** What is not the client's, also when somebody goes there. */
const ELSEWHERE = ["api", "assets", "asyncapi.json", "docs", "health", "livez", "metrics", "openapi.json", "readyz"];

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  if (method !== "GET" || !url.startsWith(scope)) return;
  const [place] = url.slice(scope.length).split(/[/?#]/, 1);
  if (url.startsWith(ASSETS)) event.respondWith(answerFile(event.request));
  else if (mode === "navigate" && !ELSEWHERE.includes(place)) event.respondWith(answerPage(event));
});

/** All of one version, or nothing: a node of another version may answer while a deployment is updated. */
async function install() {
  const cache = await caches.open(NAME);
  const page = await fetch(scope, { cache: "no-cache", credentials: "omit" });
  if (!page.ok || !(await page.clone().text()).includes(`/assets/${version}/`)) throw new Error("no page of this version");
  await Promise.all(files.map((path) => keepFile(cache, `${ASSETS}${version}/${path}`)));
  await cache.put(scope, page);
  await worker.skipWaiting();
}

async function keepFile(cache, address) {
  const file = await fetch(address, { credentials: "omit" });
  if (!file.ok || !file.headers.get("cache-control")?.includes("immutable")) throw new Error("no file of this version");
  await cache.put(address, file);
}

async function activate() {
  const others = (await caches.keys()).filter((name) => name.startsWith(FAMILY) && name !== NAME);
  await Promise.all(others.slice(0, -1).map((name) => caches.delete(name)));
  await worker.registration.navigationPreload?.enable();
  await worker.clients.claim();
}

async function answerFile(request) {
  return (await caches.match(request, { ignoreVary: true })) ?? fetch(request);
}

/** Also in place of a server in front of the service that cannot reach it. */
async function answerPage(event) {
  const asking = askForPage(event);
  event.waitUntil(asking);
  const kept = await caches.match(scope, { cacheName: NAME, ignoreVary: true });
  const answer = await (kept ? Promise.race([asking, pause(PATIENCE_MS)]) : asking);
  return (answer && answer.status < 500 ? answer : kept) ?? answer ?? Response.error();
}

/** @returns {Promise<Response | null>} */
async function askForPage({ request, preloadResponse }) {
  try {
    return (await preloadResponse) ?? (await fetch(request));
  } catch {
    return null;
  }
}

/** @returns {Promise<null>} */
function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(null), ms);
  });
}
