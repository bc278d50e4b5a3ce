/** What the addresses of the client mean. Pure: an address goes in, a route comes out, and back. */

/** The sections of the settings, in the order in which they are listed. */
export const SETTINGS_SECTIONS = /** @type {const} */ ([
  "profile",
  "appearance",
  "notifications",
  "devices",
  "password",
]);

/**
 * @typedef {{name: "home"} | {name: "chat", chatId: number, details: boolean} | {name: "sign-in", next: string | null} |
 *   {name: "sign-up"} | {name: "settings", section: typeof SETTINGS_SECTIONS[number] | null} | {name: "unknown"}} Route
 */

const CHAT = /^\/chats\/([1-9]\d{0,15})(\/details)?$/;

/**
 * @param {string} path below the place where the service is mounted, with a slash in front
 * @param {string} [search] the query, with its question mark
 * @returns {Route}
 */
export function parsePath(path, search = "") {
  const clean = path.replace(/\/+$/, "") || "/";
  const chat = CHAT.exec(clean);
  if (chat && Number.isSafeInteger(Number(chat[1]))) {
    return { name: "chat", chatId: Number(chat[1]), details: Boolean(chat[2]) };
  }
  if (clean === "/" || clean === "/chats") return { name: "home" };
  if (clean === "/signin") return { name: "sign-in", next: checkNext(new URLSearchParams(search).get("next")) };
  if (clean === "/signup") return { name: "sign-up" };
  if (clean === "/settings") return { name: "settings", section: null };
  const section = SETTINGS_SECTIONS.find((one) => clean === `/settings/${one}`);
  return section ? { name: "settings", section } : { name: "unknown" };
}

/** The way back after signing in: a place of this client, nothing else, whatever somebody wrote into the address. */
function checkNext(next) {
  if (!next?.startsWith("/")) return null;
  const route = parsePath(next);
  return route.name === "chat" || route.name === "settings" ? next : null;
}

export const paths = {
  home: () => "/",
  chat: (chatId) => `/chats/${chatId}`,
  chatDetails: (chatId) => `/chats/${chatId}/details`,
  settings: (section) => (section ? `/settings/${section}` : "/settings"),
  signIn: (next) => (next && next !== "/" ? `/signin?next=${encodeURIComponent(next)}` : "/signin"),
  signUp: () => "/signup",
};
