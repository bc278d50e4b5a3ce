/** The second line of a chat in the list: who wrote what last, or what is being written. */

import { summarise } from "../chat/markup/summary.js";
import { t } from "../i18n.js";
import { displayName } from "../names.js";
import { knownUser } from "../people/known-people.js";
import { me } from "../state.js";

/**
 * @typedef {{kind: "typing" | "draft" | "message" | "deleted" | "empty", who: string, text: string,
 *   message: import("../../sdk/types.js").Message | null}} Preview `who` is "" where it is not said
 */

/**
 * @param {import("chat-service-client").Chat} chat
 * @param {{isOpen: boolean}} situation the draft of an open chat is in view already
 * @returns {Preview}
 */
export function previewOf(chat, { isOpen }) {
  if (chat.typing.length) return { kind: "typing", who: "", text: typingSentence(chat), message: null };
  if (chat.draft && !isOpen) return { kind: "draft", who: "", text: summarise(chat.draft), message: null };
  const message = chat.pending.at(-1) ?? chat.lastMessage;
  if (!message) return { kind: "empty", who: "", text: t("chat.noMessages"), message: null };
  const isMine = message.sender_id === me.value?.id;
  const who = isMine ? t("chat.you") : chat.type === "group" ? senderName(chat, message) : "";
  if (message.is_deleted) return { kind: "deleted", who, text: t("chat.deletedMessage"), message };
  return { kind: "message", who, text: summarise(message.content), message };
}

/** What the sender of a message is called, as far as this client knows. */
export function senderName(chat, message) {
  const person = findPerson(chat, message.sender_id);
  return person ? displayName(person) : message.sender_username;
}

function typingSentence(chat) {
  if (chat.type === "direct") return t("chat.typing");
  const people = chat.typing.map((userId) => findPerson(chat, userId)).filter((person) => person !== null);
  return people.length === 1 && chat.typing.length === 1
    ? t("chat.typingOne", { name: displayName(people[0]) })
    : t("chat.typingMany", { count: chat.typing.length });
}

function findPerson(chat, userId) {
  return chat.participants?.find((one) => one.user_id === userId) ?? knownUser(userId);
}
