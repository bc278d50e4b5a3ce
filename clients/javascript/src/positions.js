/** Tells the service how far the user has read and what has arrived, many chats at a time and never in a hurry. */

import {asChatError} from "./errors.js";

/** @import {Account} from "./account.js" */
/** @import {Chat} from "./chat.js" */

const PAUSE_MS = 300;
/** Well below the 100 frames a second that a socket may send. */
const CHATS_AT_ONCE = 10;

export class Positions {
  /** Chats whose positions the server may not hold. @type {Set<Chat>} */
  #behind = new Set();
  /** @type {any} */
  #timer = null;
  #account;

  /** @param {Account} account */
  constructor(account) {
    this.#account = account;
  }

  /** @param {Chat} chat whose messages have been read, or have arrived */
  touch(chat) {
    this.#behind.add(chat);
    this.flush();
  }

  flush() {
    if (this.#behind.size && this.#account.isLive) this.#timer ??= setTimeout(() => this.#send(), PAUSE_MS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #send() {
    this.#timer = null;
    let left = CHATS_AT_ONCE;
    for (const chat of this.#behind) {
      if (!left--) break;
      this.#behind.delete(chat);
      if (chat.readSeq > chat.readAcked) void this.#tell(chat, "mark_as_read", chat.readSeq);
      if (chat.lastSeq > chat.deliveredSeq) void this.#tell(chat, "mark_as_delivered", chat.lastSeq);
    }
    this.flush();
  }

  /** @param {Chat} chat @param {"mark_as_read"|"mark_as_delivered"} type @param {number} seq */
  async #tell(chat, type, seq) {
    try {
      const ack = await this.#account.socket.call({type, chat_id: chat.id, seq});
      const name = type === "mark_as_read" ? "read_seq" : "delivered_seq";
      chat.takePosition(this.#account.me.id, {[name]: ack.seq});
    } catch (error) {
      if (!asChatError(error).isTransient) return;
      this.#behind.add(chat);
      await this.#account.sleep(asChatError(error).retryAfterMs ?? PAUSE_MS);
      this.flush();
    }
  }
}
