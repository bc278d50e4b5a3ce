/** How people and chats are called on screen, and how names are compared while one searches. */

import { t } from "./i18n.js";

/** @param {{username?: string, full_name?: string | null}} user a user, participant or sender */
export function displayName(user) {
  return user.full_name || user.username || "";
}

/** The title of a chat; a group without a name, or a chat whose people are unknown yet, gets a general one. */
export function chatTitle(chat) {
  return chat.title || t(chat.type === "direct" ? "chat.untitledDirect" : "chat.untitledGroup");
}

/** Folds case, accents and đ, so that "ha noi" finds "Hà Nội". */
export function foldText(text) {
  return text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replaceAll("đ", "d")
    .trim();
}

/** True for a user or participant whose name or username is meant by what was typed so far. */
export function matchesPerson(user, query) {
  return matchesQuery(`${displayName(user)} ${user.username}`, query);
}

/** True when every word of the query begins a word of the text. */
export function matchesQuery(text, query) {
  const words = foldText(text).split(/\s+/);
  return foldText(query)
    .split(/\s+/)
    .every((part) => words.some((word) => word.startsWith(part)));
}
