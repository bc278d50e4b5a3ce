/**
 * Names for ids that are known from elsewhere than the chat at hand: the other ones of direct chats, and whoever
 * was asked for once. Lists show a username until the answer is there.
 */

import { computed, effect, signal } from "@preact/signals";
import { client, connection, me, session, sortedChats } from "../state.js";

/** @import {User} from "../../sdk/types.js" */

/** Those who were asked for; null where there is nobody. */
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

const PAUSE_MS = 10_000;

/** Who is being asked for, or could not be a moment ago. @type {Set<number>} */
const waiting = new Set();

// What could not be read without a connection is asked for again.
effect(() => {
  if (connection.value.state !== "online" || waiting.size === 0) return;
  waiting.clear();
  asked.value = new Map(asked.peek());
});

function take(userId, user) {
  asked.value = new Map([...asked.peek(), [userId, user]]);
  waiting.delete(userId);
}

/** Asks after the present rendering, which must not change what it reads. */
function ask(userId) {
  if (waiting.has(userId) || session.peek() !== "signed-in") return;
  waiting.add(userId);
  queueMicrotask(async () => {
    try {
      take(userId, await client.getUser(userId));
    } catch (error) {
      if (error.code === "not_found") take(userId, null);
      else setTimeout(() => waiting.delete(userId), PAUSE_MS);
    }
  });
}
