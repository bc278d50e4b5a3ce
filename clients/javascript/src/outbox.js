/**
 * What the user has written and the service has not acknowledged. Kept in storage before it is sent, sent in order
 * within a chat, by one tab at a time, with the same `client_message_id` until there is an answer.
 */

import {ChatError, asChatError} from "./errors.js";
import {makeKey} from "./keys.js";

/** @import {Account} from "./account.js" */
/** @import {Chat} from "./chat.js" */
/** @import {PendingMessage, ReplyTo, StoredMessage} from "./types.js" */

const PAUSE_MS = 1_000;
/** Another tab that sends much shall not make this one read the storage for each message. */
const NOTICE_MS = 50;
const TRIES_AFTER_DEFECT = 3;
/** More than can be on their way out of the storage at a time. */
const MOST_GONE = 1_000;

/**
 * @typedef {{id: string, order: number, chatId: number, content: string, replyTo: ReplyTo|null, writtenAt: string,
 *   error: {code: string, status: number, detail: string}|null}} OutboxRecord
 * @typedef {{record: OutboxRecord, message: PendingMessage, storing: Promise<void>|null, isSettled?: boolean}} Entry
 *   `storing` is null once the record is in storage; `isSettled`: another tab has sent it, and it is shown until the
 *   message itself is here.
 */

export class Outbox {
  /** By `client_message_id`, in the order in which they were written. @type {Map<string, Entry>} */
  #entries = new Map();
  /** Ids of what was removed last, because the storage may still hold it. @type {Set<string>} */
  #gone = new Set();
  /** Chats being sent to now. @type {Map<number, Promise<void>>} */
  #sending = new Map();
  #isFlushing = false;
  #hasLock = false;
  #isNoticing = false;
  /** Another tab has changed what is stored. */
  #isStale = false;
  #lastOrder = 0;
  #account;
  #prefix;

  /** @param {Account} account */
  constructor(account) {
    this.#account = account;
    this.#prefix = `${account.textPrefix}outbox/`;
  }

  /** Takes what is stored: what was left from before, and what other tabs have written or settled. */
  async load() {
    this.#isStale = false;
    const {storage} = this.#account;
    const stored = new Map((await storage.list(this.#prefix)).map(([, record]) => [record.id, record]));
    for (const [id, entry] of this.#entries) {
      if (entry.storing || stored.has(id) || storage.hasFailed) continue;
      if (this.#account.isLive || entry.record.error) this.#entries.delete(id);
      else entry.isSettled = true;
    }
    for (const id of this.#gone) if (!stored.has(id)) this.#gone.delete(id);
    for (const [id, record] of stored) {
      if (this.#gone.has(id)) continue;
      const held = this.#entries.get(id);
      const isSame = held && (held.storing || held.record.error?.code === record.error?.code);
      if (!isSame) this.#entries.set(id, {record, message: this.#makeMessage(record), storing: null});
      this.#lastOrder = Math.max(this.#lastOrder, record.order);
    }
    for (const chat of this.#account.chats.values()) this.show(chat);
  }

  /** In step with the service: what other tabs have sent meanwhile is here. */
  dropSettled() {
    for (const {record, isSettled} of this.#entries.values()) {
      if (!isSettled) continue;
      this.#entries.delete(record.id);
      this.#showAgain(record.chatId);
    }
  }

  /** Another tab has written to the storage. */
  async notice() {
    this.#isStale = true;
    if (this.#isNoticing || this.#isFlushing) return;
    this.#isNoticing = true;
    while (this.#isStale) {
      await this.#account.sleep(NOTICE_MS);
      await this.load();
    }
    this.#isNoticing = false;
    void this.flush();
  }

  /** @param {number} chatId */
  listTexts(chatId) {
    return this.#listOf(chatId).map((message) => message.content);
  }

  /** Shows what waits for a chat. @param {Chat} chat */
  show(chat) {
    const pending = this.#listOf(chat.id);
    const isSame = pending.length === chat.pending.length && pending.every((one, at) => one === chat.pending[at]);
    if (!isSame) chat.setPending(pending);
  }

  /** @param {Chat} chat @param {string} content @param {StoredMessage|null} replyTo @returns {PendingMessage} */
  add(chat, content, replyTo) {
    this.#lastOrder = Math.max(this.#lastOrder + 1, this.#account.now());
    /** @type {OutboxRecord} */
    const record = {
      id: makeKey(),
      order: this.#lastOrder,
      chatId: chat.id,
      content,
      replyTo: replyTo && {id: replyTo.id, seq: replyTo.seq, sender_id: replyTo.sender_id},
      writtenAt: this.#account.serverTime().toISOString().replace("Z", "000Z"),
      error: null,
    };
    const message = this.#put(record);
    chat.setPending([...chat.pending, message]);
    void this.flush();
    return message;
  }

  /** @param {PendingMessage} message */
  retry(message) {
    const entry = this.#entries.get(message.client_message_id);
    if (!entry?.record.error) return;
    const {record} = entry;
    const isTaken = entry.record.error.code === "client_message_id_conflict";
    if (isTaken) this.#remove(entry);
    this.#put({...record, error: null, id: isTaken ? makeKey() : record.id});
    this.#showAgain(record.chatId);
    void this.flush();
  }

  /** @param {PendingMessage} message */
  discard(message) {
    const entry = this.#entries.get(message.client_message_id);
    if (entry?.record.error) this.#remove(entry);
  }

  /** The service has this message. @param {StoredMessage} message one's own */
  settle(message) {
    const entry = message.client_message_id === null ? null : this.#entries.get(message.client_message_id);
    if (entry?.record.chatId === message.chat_id) this.#remove(entry);
  }

  /** Sends what waits, unless another tab is at it. Ends when nothing is left that can be sent now. */
  async flush() {
    if (this.#hasLock) this.#startAll();
    if (this.#isFlushing || !this.#hasWork()) return;
    this.#isFlushing = true;
    try {
      await this.#account.tabs.lock(`outbox:${this.#account.me.id}`, async () => {
        if (this.#isStale) await this.load();
        this.#hasLock = true;
        this.#startAll();
        while (this.#sending.size) await Promise.all(this.#sending.values());
      });
    } finally {
      this.#hasLock = this.#isFlushing = false;
    }
    if (this.#isStale) await this.notice();
    else void this.flush();
  }

  #startAll() {
    for (const entry of this.#entries.values()) if (isWaiting(entry)) this.#start(entry.record.chatId);
  }

  #hasWork() {
    if (!this.#account.isLive) return false;
    return [...this.#entries.values()].some(isWaiting);
  }

  /** @param {number} chatId */
  #start(chatId) {
    if (this.#sending.has(chatId)) return;
    const sending = this.#sendAll(chatId).finally(() => this.#sending.delete(chatId));
    this.#sending.set(chatId, sending);
  }

  /** One after the other, so that none overtakes one that has to be repeated. @param {number} chatId */
  async #sendAll(chatId) {
    let defects = 0;
    for (let entry = this.#findNext(chatId); entry && this.#account.isLive; entry = this.#findNext(chatId)) {
      await entry.storing;
      if (this.#entries.get(entry.record.id) !== entry) continue;
      try {
        const {id, content, replyTo} = entry.record;
        const fields = {chat_id: chatId, content, client_message_id: id, reply_to_id: replyTo?.id ?? null};
        const ack = await this.#account.socket.call({type: "send_message", ...fields});
        this.settle(ack.message);
        defects = 0;
      } catch (caught) {
        const error = asChatError(caught);
        if (error.code === "network" || !this.#account.isLive) return;
        if (error.code === "internal") defects++;
        if (!error.isTransient || defects >= TRIES_AFTER_DEFECT) {
          this.#put({...entry.record, error: error.toRecord()});
          this.#showAgain(chatId);
          defects = 0;
        } else {
          await this.#account.sleep(error.retryAfterMs ?? PAUSE_MS);
        }
      }
    }
  }

  /** @param {number} chatId @returns {PendingMessage[]} in the order of writing */
  #listOf(chatId) {
    return [...this.#entries.values()]
      .filter((entry) => entry.record.chatId === chatId)
      .sort((a, b) => a.record.order - b.record.order)
      .map((entry) => entry.message);
  }

  /** @param {number} chatId */
  #findNext(chatId) {
    let next;
    for (const entry of this.#entries.values()) {
      const {record} = entry;
      if (record.chatId !== chatId || !isWaiting(entry)) continue;
      if (!next || record.order < next.record.order) next = entry;
    }
    return next;
  }

  /** Holds and stores it; in place of the former one with its id. @param {OutboxRecord} record */
  #put(record) {
    const message = this.#makeMessage(record);
    const storing = this.#store(record).then(() => { entry.storing = null; });
    /** @type {Entry} */
    const entry = {record, message, storing};
    this.#entries.set(record.id, entry);
    return message;
  }

  /** @param {Entry} entry */
  #remove({record, storing}) {
    if (!this.#entries.delete(record.id)) return;
    this.#gone.add(record.id);
    for (const id of this.#gone) {
      if (this.#gone.size <= MOST_GONE) break;
      this.#gone.delete(id);
    }
    void Promise.resolve(storing)
      .then(() => this.#account.storage.delete(this.#key(record)))
      .then(() => this.#tellTabs());
    this.#showAgain(record.chatId);
  }

  #tellTabs() {
    this.#account.tabs.post({type: "outbox", userId: this.#account.me.id});
  }

  /** @param {number} chatId */
  #showAgain(chatId) {
    const chat = this.#account.chats.get(chatId);
    if (chat) this.show(chat);
  }

  /** @param {OutboxRecord} record */
  async #store(record) {
    if (this.#account.isForgotten) return;
    await this.#account.storage.set(this.#key(record), record);
    this.#tellTabs();
  }

  /** @param {OutboxRecord} record */
  #key({order, id}) {
    return `${this.#prefix}${String(order).padStart(16, "0")}-${id}`;
  }

  /** @param {OutboxRecord} record @returns {PendingMessage} */
  #makeMessage(record) {
    const {me} = this.#account;
    const {error} = record;
    return {
      id: null,
      chat_id: record.chatId,
      seq: null,
      sender_id: me.id,
      sender_username: me.username,
      content: record.content,
      client_message_id: record.id,
      timestamp: record.writtenAt,
      is_edited: false,
      is_deleted: false,
      reply_to: record.replyTo,
      state: error ? "failed" : "queued",
      ...(error && {error: new ChatError(error.code, error)}),
    };
  }
}

/** @param {Entry} entry */
function isWaiting({record, isSettled}) {
  return !record.error && !isSettled;
}
