/**
 * The keyboard shortcuts that hold everywhere. Keys are read by their place (`code`) where a letter is meant, so
 * that Alt does not turn them into another sign; nothing is taken from a field in which one types.
 */

import { useEffect } from "preact/hooks";
import { openNewChat, openShortcuts } from "../dialogs.js";
import { goBack, navigate } from "../router.js";
import { paths } from "../routes.js";
import { route, sortedChats } from "../state.js";
import { isComposing } from "../ui/index.js";

export const isApple = /mac|iphone|ipad/i.test(navigator.platform);

/** The groups of the sheet: keys as they are printed there, and the name of the sentence. */
export const SHORTCUT_GROUPS = [
  {
    title: "shortcuts.everywhere",
    shortcuts: [
      { keys: ["?"], text: "shortcuts.sheet" },
      { keys: ["Ctrl", "K"], text: "shortcuts.search" },
      { keys: ["Alt", "N"], text: "shortcuts.newChat" },
      { keys: ["Alt", "↑"], text: "shortcuts.previousChat" },
      { keys: ["Alt", "↓"], text: "shortcuts.nextChat" },
      { keys: ["Alt", "I"], text: "shortcuts.details" },
      { keys: ["Esc"], text: "shortcuts.escape" },
    ],
  },
  {
    title: "shortcuts.lists",
    shortcuts: [
      { keys: ["↑", "↓"], text: "shortcuts.move" },
      { keys: ["Home", "End"], text: "shortcuts.ends" },
      { keys: ["Enter"], text: "shortcuts.open" },
    ],
  },
];

export function useShortcuts() {
  useEffect(() => {
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

function onKeyDown(event) {
  if (event.defaultPrevented || isComposing(event) || document.querySelector("dialog[open]")) return;
  const action = findAction(event);
  if (!action) return;
  event.preventDefault();
  action();
}

function findAction(event) {
  const { code, key } = event;
  const hasCommand = event.ctrlKey || event.metaKey;
  if (hasCommand && !event.altKey && !event.shiftKey) return code === "KeyK" ? focusSearch : null;
  if (event.altKey && !hasCommand && !event.shiftKey) {
    // There Alt writes signs and moves by words, so a field keeps it.
    if (isApple && isTyping(event.target)) return null;
    return { KeyN: openNewChat, KeyI: toggleDetails, ArrowUp: () => goToNeighbour(-1), ArrowDown: () => goToNeighbour(1) }[code];
  }
  if (hasCommand || event.altKey) return null;
  if (key === "Escape") return leaveDetails() ?? focusComposer();
  if (isTyping(event.target)) return null;
  return { "?": openShortcuts, "/": focusSearch }[key];
}

/** From the settings, and on a narrow window from a chat, the list has to come into view first. */
function focusSearch() {
  const select = () => {
    searchField()?.focus();
    searchField()?.select();
  };
  if (isVisible(searchField())) {
    select();
    return;
  }
  navigate(paths.home());
  requestAnimationFrame(select);
}

function goToNeighbour(step) {
  const chats = sortedChats.value;
  if (!chats.length) return;
  const place = route.value;
  const index = place.name === "chat" ? chats.findIndex((chat) => chat.id === place.chatId) : -1;
  const next = index < 0 ? 0 : index + step;
  if (chats[next]) navigate(paths.chat(chats[next].id), { replace: place.name === "chat" });
}

function toggleDetails() {
  const place = route.value;
  if (place.name === "chat") (leaveDetails() ?? (() => navigate(paths.chatDetails(place.chatId))))();
}

/** @returns {(() => void) | null} what closes the details, if they are open */
function leaveDetails() {
  const place = route.value;
  return place.name === "chat" && place.details ? () => goBack(paths.chat(place.chatId)) : null;
}

/** The way back to writing, from wherever the focus is. @returns {(() => void) | null} */
function focusComposer() {
  const composer = /** @type {HTMLElement | null} */ (document.querySelector("[data-composer]"));
  return composer && isVisible(composer) && document.activeElement !== composer ? () => composer.focus() : null;
}

function searchField() {
  return /** @type {HTMLInputElement | null} */ (document.querySelector("[data-shortcut=search]"));
}

function isVisible(element) {
  return Boolean(element?.getClientRects().length);
}

function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
