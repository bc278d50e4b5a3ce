/**
 * Names for ids that are known from elsewhere than the chat at hand: the other ones of direct chats, and whoever
 * was asked for once. Lists show a username until the answer is there.
 */

import { computed, signal } from "@preact/signals";
import { client, me, session, sortedChats } from "../state.js";

/** @import {User} from "../../sdk/types.js" */

/** Those who were asked for; null while the answer is awaited, or where there is none. */
const asked = signal(/** @type {ReadonlyMap<number, User | null>} */ (new Map()));

const peers = computed(() => new Map(sortedChats.value.map((chat) => [chat.peer?.id, chat.peer])));

/**
 * @param {number} userId
 * @returns {User | null} null where nothing is known yet; who reads this while rendering renders again when it is
 */
export function knownUser(userId) {
  if (me.value?.id === userId) return me.value;
  const found = peers.value.get(userId) ?? asked.value.get(userId);
  if (found === undefined) ask(userId);
  return found ?? null;
}

const waiting = new Set();

/** Asks after the present rendering, which must not change what it reads. */
function ask(userId) {
  if (waiting.has(userId) || session.peek() !== "signed-in") return;
  waiting.add(userId);
  queueMicrotask(async () => {
    const user = await client.getUser(userId).catch(() => null);
    asked.value = new Map([...asked.value, [userId, user]]);
    waiting.delete(userId);
  });
}
