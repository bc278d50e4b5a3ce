/**
 * What was shown last, kept so that a page that starts without a network shows it: the newest chats, each with its
 * newest messages and its own cursor, so that `resume` makes every one of them whole.
 */

import {Chat} from "./chat.js";

/** @import {Account} from "./account.js" */

const PAUSE_MS = 1_000;
const CHATS = 200;
const MESSAGES = 40;
/** Copies of chats made at a time, so that a storm of messages in many chats does not hold up the page. */
const CHATS_AT_ONCE = 10;

export class Snapshot {
  /** @type {Set<Chat>} */
  #dirty = new Set();
  /** Ids of stored chats. @type {Set<number>} */
  #stored = new Set();
  /** @type {any} */
  #timer = null;
  #account;
  #prefix;

  /** @param {Account} account */
  constructor(account) {
    this.#account = account;
    this.#prefix = account.shownPrefix;
  }

  /** @returns {Promise<boolean>} whether a list was stored */
  async load() {
    const account = this.#account;
    const records = await account.storage.list(`${this.#prefix}chat/`);
    const state = await account.storage.get(`${this.#prefix}state`);
    if (!state) return false;
    account.epoch = state.epoch;
    for (const [, {item, messages, readSeq}] of records) {
      this.#stored.add(item.id);
      if (item.epoch !== state.epoch) continue;
      const chat = account.put(item);
      chat.history.restore(messages, item.last_seq);
      chat.markRead(readSeq);
    }
    this.#dirty.clear();
    return true;
  }

  /** @param {Chat} chat that has changed */
  touch(chat) {
    this.#dirty.add(chat);
    this.#plan();
  }

  #plan() {
    this.#timer ??= setTimeout(() => void this.flush(CHATS_AT_ONCE), PAUSE_MS);
  }

  /** @param {number} [count] of chats to write now; the others follow */
  async flush(count = Infinity) {
    this.stop();
    const account = this.#account;
    if (account.isDisposed || account.epoch === null || !account.chatsLoaded) return;
    const {storage} = account;
    const shown = new Set(account.sortedChats().slice(0, CHATS));
    /** @type {Promise<void>[]} */
    const writes = [storage.set(`${this.#prefix}state`, {epoch: account.epoch})];
    for (const chat of this.#dirty) {
      if (writes.length > count) break;
      this.#dirty.delete(chat);
      if (!shown.has(chat) || chat.cursor < 0) continue;
      this.#stored.add(chat.id);
      writes.push(storage.set(`${this.#prefix}chat/${chat.id}`, makeRecord(chat, account.epoch)));
    }
    for (const id of this.#stored) {
      const chat = account.chats.get(id);
      if (chat && shown.has(chat)) continue;
      this.#stored.delete(id);
      writes.push(storage.delete(`${this.#prefix}chat/${id}`));
    }
    await Promise.all(writes);
    if (this.#dirty.size) this.#plan();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** @param {Chat} chat @param {string} epoch */
function makeRecord(chat, epoch) {
  /** @type {import("./types.js").ListedChat} */
  const item = {
    id: chat.id,
    chat_type: chat.type,
    name: chat.name,
    created_by: chat.createdBy,
    created_at: chat.createdAt,
    version: chat.cursor,
    epoch,
    last_seq: chat.lastSeq,
    participant_count: chat.participantCount,
    last_message: chat.lastMessage,
    unread_count: Math.max(0, chat.lastSeq - Math.max(chat.mine, chat.readAcked)),
    peer: chat.peer,
    my: {role: chat.myRole, read_seq: chat.readAcked, delivered_seq: chat.deliveredSeq},
  };
  return {item, messages: chat.history.listNewest(chat.lastSeq, MESSAGES), readSeq: chat.readSeq};
}
