/**
 * Notifications of the browser for messages that come while nobody looks: only if the reader switched them on
 * and the browser permits it, and from no tab while another one of this client is in view.
 */

import { effect } from "@preact/signals";
import { summarise } from "./chat/markup/summary.js";
import { senderName } from "./chats/preview.js";
import { t } from "./i18n.js";
import { chatTitle } from "./names.js";
import { setWantsNotifications, wantsNotifications } from "./preferences.js";
import { navigate } from "./router.js";
import { paths } from "./routes.js";
import { client, session } from "./state.js";

const VISIBLE_LOCK = "chat.visible";
const BODY_CHARS = 200;
/** So long after the first tab no other one tells of the same message. A hidden tab that comes back to the network
 * may wait a minute for its turn: browsers wake the timers of such tabs no more often. */
const TOLD_FOR_MS = 90_000;

export function areNotificationsSupported() {
  return "Notification" in globalThis;
}

/** Called from a button only: browsers ask nobody who did not ask. @returns {Promise<boolean>} whether it worked */
export async function switchNotificationsOn() {
  if ((await Notification.requestPermission()) !== "granted") return false;
  try {
    // Some browsers permit it and then show notifications of installed pages alone: this one tells.
    new Notification(t("app.name"), { body: t("notifications.sample"), icon: iconAddress(), tag: "sample" });
  } catch {
    return false;
  }
  setWantsNotifications(true);
  installNotifications();
  return true;
}

export function switchNotificationsOff() {
  setWantsNotifications(false);
}

let isInstalled = false;

/** From here on they are shown. Called when the page has been drawn, and when they are switched on before that. */
export function installNotifications() {
  if (isInstalled) return;
  isInstalled = true;
  for (const event of /** @type {const} */ (["message", "missed"])) {
    client.on(event, ({ chat, message }) => {
      if (document.hidden && wantsNotifications.value) notify(chat, message);
    });
  }
  // The list tells also that a chat was read on another device, and it is empty after signing out.
  client.on("chats", closeRead);
  holdLockWhileVisible();
}

/** What this tab has shown, by chat. @type {Map<number, Notification>} */
const shown = new Map();

function closeRead() {
  for (const [chatId, notification] of shown) {
    if (client.chats.get(chatId)?.unread) continue;
    shown.delete(chatId);
    notification.close();
  }
}

async function notify(chat, message) {
  if (message.is_deleted || !areNotificationsSupported() || Notification.permission !== "granted") return;
  if ((await isSeenInAnotherTab()) || !(await isFirstToTell(chat, message))) return;
  if (!client.chats.get(chat.id)?.unread) return;
  const title = chatTitle(chat);
  const text = summarise(message.content, BODY_CHARS);
  try {
    const options = {
      body: chat.type === "direct" ? text : `${senderName(chat, message)}: ${text}`,
      icon: iconAddress(),
      // One for each chat: the newest takes the place of the one before, from whichever tab.
      tag: `chat-${chat.id}`,
      // Without it the newest would make no sound.
      renotify: true,
    };
    const notification = new Notification(title, options);
    shown.set(chat.id, notification);
    notification.onclick = () => {
      window.focus();
      navigate(paths.chat(chat.id));
      notification.close();
    };
  } catch {
    setWantsNotifications(false);
  }
}

/** Every visible tab holds a shared lock, so that a hidden one can find out that somebody is looking. */
function holdLockWhileVisible() {
  if (!navigator.locks) return;
  let release = /** @type {(() => void) | null} */ (null);
  const follow = () => {
    const mustHold = !document.hidden && session.value === "signed-in";
    if (mustHold && !release) {
      const released = new Promise((resolve) => {
        release = () => resolve(undefined);
      });
      navigator.locks.request(VISIBLE_LOCK, { mode: "shared" }, () => released).catch(() => {});
    } else if (!mustHold && release) {
      release();
      release = null;
    }
  };
  document.addEventListener("visibilitychange", follow);
  effect(follow);
}

async function isSeenInAnotherTab() {
  try {
    const { held } = await navigator.locks.query();
    return Boolean(held?.some((lock) => lock.name === VISIBLE_LOCK));
  } catch {
    return false;
  }
}

/** Of several hidden tabs one tells: the one that is first to hold a lock with the message's name. */
function isFirstToTell(chat, message) {
  return new Promise((resolve) => {
    const told = navigator.locks?.request(`chat.told.${chat.id}.${message.seq}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((release) => setTimeout(release, TOLD_FOR_MS));
    });
    if (told) told.catch(() => resolve(true));
    else resolve(true);
  });
}

function iconAddress() {
  return new URL("../icons/icon-192.png", import.meta.url).href;
}
