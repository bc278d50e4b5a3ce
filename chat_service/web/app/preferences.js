/**
 * What the reader chose for this browser: theme, language, notifications. Kept in localStorage, and only in
 * memory where the browser refuses storage. boot.js reads the same keys before the first paint.
 */

import { effect, signal } from "@preact/signals";

export const THEMES = /** @type {const} */ (["system", "light", "dark"]);
export const LANGUAGES = /** @type {const} */ (["en", "vi"]);

/** @type {import("@preact/signals").Signal<"system" | "light" | "dark">} */
export const theme = signal(oneOf(read("chat.theme"), THEMES) ?? "system");

/** The language chosen here, or null while the browser's own counts. */
export const chosenLanguage = signal(oneOf(read("chat.language"), LANGUAGES));

/** Whether the reader wants notifications; the browser's permission is another matter. */
export const wantsNotifications = signal(read("chat.notifications") === "on");

/** @param {"system" | "light" | "dark"} value */
export function setTheme(value) {
  theme.value = value;
  write("chat.theme", value === "system" ? null : value);
}

/** @param {"en" | "vi" | null} value */
export function setChosenLanguage(value) {
  chosenLanguage.value = value;
  write("chat.language", value);
}

/** @param {boolean} value */
export function setWantsNotifications(value) {
  wantsNotifications.value = value;
  write("chat.notifications", value ? "on" : null);
}

/** Tells boot.js what to draw before the session is known: the shell, or nothing yet. */
export function rememberSignedIn(value) {
  write("chat.signed-in", value ? "yes" : null);
}

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});

// A choice made in another tab holds here too.
addEventListener("storage", (event) => {
  if (event.key === "chat.theme") theme.value = oneOf(event.newValue, THEMES) ?? "system";
  if (event.key === "chat.language") chosenLanguage.value = oneOf(event.newValue, LANGUAGES);
  if (event.key === "chat.notifications") wantsNotifications.value = event.newValue === "on";
});

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // The choice holds until the page is closed.
  }
}

/**
 * @template {string} T
 * @param {string | null} value
 * @param {readonly T[]} allowed
 * @returns {T | null}
 */
function oneOf(value, allowed) {
  return allowed.find((one) => one === value) ?? null;
}
