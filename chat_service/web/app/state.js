/**
 * What all parts of the client share: the one ChatClient, and signals that say what of it has changed, so that
 * only those components render again that show it. Nobody else creates a client or calls the network.
 *
 *   client                   the ChatClient; ask it for the data itself
 *   session, me, connection  signals: "unknown" | "signed-out" | "signed-in", the user, {state, retryAt}
 *   sortedChats, chatsLoaded, totalUnread  signals for the list
 *   info                     signal: limits and features of the service, or null
 *   chatRevision(chatId)     a signal whose value grows with every change of that chat; read it, then read the chat.
 *                            Chats are changed in place, so every component that shows something of one reads it:
 *                            with signals, a component whose properties are the same is not rendered again
 *   presenceRevision(userId) the same for who is online
 *   route, theme, locale     where the reader is, and how they want to see it
 */

import { batch, signal } from "@preact/signals";
import { ChatClient } from "chat-service-client";
import { rememberSignedIn } from "./preferences.js";
import { basePath } from "./router.js";

export { locale } from "./i18n.js";
export { theme } from "./preferences.js";
export { route } from "./router.js";

export const client = new ChatClient({ url: location.origin + basePath, session: "cookie" });

export const session = signal(client.state);
export const me = signal(client.me);
export const connection = signal(readConnection());
export const sortedChats = signal(/** @type {readonly import("chat-service-client").Chat[]} */ ([]));
export const chatsLoaded = signal(false);
/** Whether the service has said which chats there are; before that a chat may only not be kept here. */
export const chatsListed = signal(false);
export const totalUnread = signal(0);

/** Limits and features of the service; null until they have been read. */
export const info = signal(client.info);

/** Why the session ended, as an error code; null when the reader signed out here, or never was signed in. */
export const signedOutReason = signal(/** @type {string | null} */ (null));

const chatRevisions = new Map();
const presenceRevisions = new Map();

/** @param {number} chatId @returns {import("@preact/signals").Signal<number>} */
export function chatRevision(chatId) {
  return entryOf(chatRevisions, chatId);
}

/** @param {number} userId @returns {import("@preact/signals").Signal<number>} */
export function presenceRevision(userId) {
  return entryOf(presenceRevisions, userId);
}

const changedChats = new Set();
let listChanged = false;
let flushPending = false;

client.on("state", () => {
  batch(() => {
    session.value = client.state;
    me.value = client.me;
    if (client.state === "signed-in") {
      signedOutReason.value = null;
      rememberSignedIn(true);
    }
  });
  listChanged = true;
  scheduleFlush();
});
client.on("me", () => {
  me.value = client.me && { ...client.me };
});
client.on("signed-out", ({ reason }) => {
  signedOutReason.value = reason === "signed_out" ? null : reason;
  rememberSignedIn(false);
});
client.on("info", () => {
  info.value = client.info;
});
client.on("connection", () => {
  connection.value = readConnection();
});
client.on("presence", ({ userId }) => {
  entryOf(presenceRevisions, userId).value += 1;
});
client.on("chats", () => {
  listChanged = true;
  scheduleFlush();
});
client.on("chat", ({ chat }) => {
  changedChats.add(chat.id);
  scheduleFlush();
});

/** Changes are shown once a frame, however many arrive in between. */
function scheduleFlush() {
  if (flushPending) return;
  flushPending = true;
  if (document.hidden) setTimeout(flush, 100);
  else requestAnimationFrame(flush);
}

function flush() {
  if (!flushPending) return;
  flushPending = false;
  batch(() => {
    for (const chatId of changedChats) entryOf(chatRevisions, chatId).value += 1;
    changedChats.clear();
    if (listChanged) {
      sortedChats.value = client.sortedChats();
      chatsLoaded.value = client.chatsLoaded;
      chatsListed.value = client.chatsListed;
      listChanged = false;
    }
    totalUnread.value = client.totalUnread;
  });
}

// A frame that was asked for just before the page was hidden would never come.
document.addEventListener("visibilitychange", flush);

function readConnection() {
  return { state: client.connection, retryAt: client.retryAt };
}

function entryOf(map, key) {
  let found = map.get(key);
  if (!found) {
    found = signal(0);
    map.set(key, found);
  }
  return found;
}
