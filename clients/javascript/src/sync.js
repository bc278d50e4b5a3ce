/**
 * Keeps the chats in step with the service (docs/protocol.md, section 5): the list, pushes in the order of their
 * versions, `resume` after every absence, and reading afresh what cannot be continued.
 */

import {ChatError, asChatError} from "./errors.js";

/** @import {Account} from "./account.js" */
/** @import {Chat} from "./chat.js" */
/** @import {Frame, ListedChat, Participant} from "./types.js" */

const MAX_CURSORS = 2_000;
const LIST_PAGE = 100;
const RETRY_MS = 1_000;

/**
 * @typedef {object} Wanted
 * @property {number} unread How many messages were unread before.
 * @property {number} version What was known to exist before the read began.
 * @property {boolean} isDirect It is known to be a direct chat, of which the list says whether it is hidden.
 */

export class Sync {
  /** The list has been read, so a chat that is not held is a new one. */
  isListed = false;
  /** The `resume` that follows every connect has been answered. */
  isLive = false;
  /** Frames of chats that are being read afresh. @type {Map<number, Frame[]>} */
  #reading = new Map();
  /** Chats still to be read afresh. @type {Map<number, Wanted>} */
  #wanted = new Map();
  #isReading = false;
  /** Direct chats that are not in the list until their next message, with their cursors. @type {Map<number, number>} */
  #stubs = new Map();
  /** Chats whose changes have been asked for. @type {Set<number>} */
  #resuming = new Set();
  /** Chats with pushes from further ahead. @type {Set<Chat>} */
  #early = new Set();
  /** @type {Promise<void>|null} */
  #listing = null;
  /** Direct chats that the list did not name, with the cursors that were held before. @type {Map<Chat, number>} */
  #unlisted = new Map();
  #account;

  /** @param {Account} account */
  constructor(account) {
    this.#account = account;
  }

  /** @param {Frame} frame */
  hear(frame) {
    const {chats, presence} = this.#account;
    if (frame.type === "connected") void this.#connected(frame.epoch);
    else if (frame.type === "user_online") presence.take(frame.user_id, true);
    else if (frame.type === "user_offline") presence.take(frame.user_id, false, frame.last_seen);
    else if (frame.type === "user_typing") chats.get(frame.chat_id)?.takeTyping(frame.user_id, true);
    else if (frame.type === "user_stopped_typing") chats.get(frame.chat_id)?.takeTyping(frame.user_id, false);
    else this.#take(frame);
  }

  /** The connection is gone. */
  disconnect() {
    this.isLive = false;
    this.#resuming.clear();
    this.#early.clear();
    for (const chat of this.#account.chats.values()) chat.disconnect();
  }

  /** Reads the list of chats; those that are held stay as they are. */
  loadList() {
    if (this.isListed) return Promise.resolve();
    this.#listing ??= this.#loadList().finally(() => { this.#listing = null; });
    return this.#listing;
  }

  /**
   * The user has left it.
   * @param {Chat} chat @param {{cursor: number, lastSeq: number}} [before] what was held when the user asked for it
   */
  leave(chat, before = chat) {
    if (chat.type === "direct" && chat.lastSeq > before.lastSeq) {
      // Somebody wrote meanwhile, which may have brought it back.
      this.#readAfresh(chat.id, before.cursor);
      return;
    }
    if (chat.type === "direct") this.#stubs.set(chat.id, chat.cursor);
    this.#account.remove(chat);
  }

  /** Reads one chat, listed or not; null where there is none. @param {number} id @returns {Promise<Chat|null>} */
  async readOne(id) {
    const item = await this.#readItem(id);
    if (!item) return null;
    this.#stubs.delete(id);
    const held = this.#account.chats.get(id);
    const chat = held && held.cursor >= item.version ? held : this.#account.put(item);
    // A push may have asked for the same meanwhile.
    this.#takeWaiting(id);
    return chat;
  }

  // --- After a connect --------------------------------------------------------------------------

  /** @param {string} epoch */
  async #connected(epoch) {
    const {socket} = this.#account;
    const {generation} = socket;
    try {
      if (epoch !== this.#account.epoch) this.#forgetAll(epoch);
      await this.loadList();
      if (generation !== socket.generation) return;
      const before = this.#countUnread();
      await this.#resumeAll();
      if (generation !== socket.generation) return;
      this.isLive = true;
      this.#leaveUnlisted();
      this.#tellMissed(before);
      this.#applyAllEarly();
      void this.#readWanted();
      this.#account.wentLive();
    } catch {
      // Whatever it was, a new connection begins afresh, after a pause.
      if (generation === socket.generation) socket.drop();
    }
  }

  /** Of the chats that were held before the connection. @returns {Map<Chat, number>} */
  #countUnread() {
    return new Map([...this.#account.chats.values()].map((chat) => [chat, chat.unread]));
  }

  /** One word for each chat in which something has come meanwhile. @param {Map<Chat, number>} before */
  #tellMissed(before) {
    for (const [chat, unread] of before) {
      // One that is being read afresh is told of when it has been read.
      if (this.#account.chats.get(chat.id) === chat && !this.#wanted.has(chat.id)) this.#tellMissedOf(chat, unread);
    }
  }

  /** @param {Chat} chat @param {number} unread before */
  #tellMissedOf(chat, unread) {
    const {lastMessage: message} = chat;
    if (!message || message.sender_id === this.#account.me.id || chat.unread <= unread) return;
    this.#account.emitter.emit("missed", {chat, message, count: chat.unread - unread});
  }

  /** @param {string} epoch another one voids every cursor */
  #forgetAll(epoch) {
    const isFirst = this.#account.epoch === null;
    this.#account.epoch = epoch;
    if (isFirst) return;
    this.isListed = false;
    this.#unlisted.clear();
    this.#stubs.clear();
    this.#reading.clear();
    this.#wanted.clear();
    for (const chat of this.#account.chats.values()) chat.forget();
  }

  async #loadList() {
    /** Those of the last time, which the pages do not name. @type {Map<Chat, number>} */
    const unlisted = new Map();
    for (const chat of this.#account.chats.values()) {
      if (chat.type === "direct" && chat.cursor >= 0) unlisted.set(chat, chat.cursor);
    }
    /** @type {string|null} */
    let cursor = "";
    while (cursor !== null) {
      const page = await this.#account.request("GET", "/chats", {query: {cursor, limit: LIST_PAGE}});
      for (const item of page.items) {
        this.#account.epoch ??= item.epoch;
        // A list of another epoch than the connection's: the next connection will tell.
        if (item.epoch !== this.#account.epoch) throw new ChatError("resync_required");
        this.#stubs.delete(item.id);
        const held = this.#account.chats.get(item.id);
        if (held) unlisted.delete(held);
        if (!held || held.cursor < 0) this.#account.put(item);
        else if (item.peer) this.#account.takePeer(item.peer);
      }
      cursor = page.next_cursor;
    }
    for (const chat of this.#account.chats.values()) {
      if (chat.cursor < 0 && !this.#reading.has(chat.id)) this.#account.remove(chat);
    }
    this.#unlisted = unlisted;
    this.isListed = true;
    this.#account.chatsLoaded = true;
    this.#account.changes.list();
  }

  /** Taken out of the list on another device. Where something has come since, it is in the list again; and what is
   * written to it stays in view. */
  #leaveUnlisted() {
    for (const [chat, cursor] of this.#unlisted) {
      const isHeld = this.#account.chats.get(chat.id) === chat;
      if (isHeld && chat.cursor === cursor && !chat.draft && !chat.pending.length) this.leave(chat);
    }
    this.#unlisted.clear();
  }

  async #resumeAll() {
    const cursors = [...this.#stubs];
    for (const chat of this.#account.chats.values()) if (chat.cursor >= 0) cursors.push([chat.id, chat.cursor]);
    do {
      const some = cursors.splice(0, MAX_CURSORS);
      await this.#callResume(Object.fromEntries(some), cursors.length === 0);
    } while (cursors.length);
  }

  /** @param {Record<string, number>} cursors @param {boolean} complete */
  #callResume(cursors, complete) {
    return this.#account.socket.call({type: "resume", cursors, epoch: this.#account.epoch, complete});
  }

  // --- Frames -----------------------------------------------------------------------------------

  /** @param {Frame} frame */
  #take(frame) {
    const chatId = frame.chat_id ?? frame.message?.chat_id;
    if (chatId === undefined) return;
    const waiting = this.#reading.get(chatId);
    const chat = this.#account.chats.get(chatId);
    if (waiting) waiting.push(frame);
    else if (chat) this.#apply(chat, frame);
    // Before the list is read, nothing can be said of it; the resume that follows brings it again.
    else if (this.isListed) this.#applyUnknown(chatId, frame);
  }

  /** @param {Chat} chat @param {Frame} frame */
  #apply(chat, frame) {
    switch (frame.type) {
      case "ack":
        if (frame.message) chat.takeMessage(frame.message);
        break;
      case "message_hidden":
        chat.hide([frame.seq]);
        break;
      case "messages_read":
        chat.takePosition(frame.user_id, {read_seq: frame.seq});
        break;
      case "messages_delivered":
        chat.takePosition(frame.user_id, {delivered_seq: frame.seq});
        break;
      case "chat_gone":
        this.#account.remove(chat);
        break;
      case "resync_required":
        this.#readAfresh(chat.id, frame.version);
        break;
      case "changes":
        if (frame.epoch === this.#account.epoch) this.#applyChanges(chat, frame);
        else this.#readAfresh(chat.id, frame.to);
        break;
      default:
        if (frame.version > chat.cursor) this.#applyPush(chat, frame);
    }
  }

  /** @param {Chat} chat @param {Frame} frame */
  #applyPush(chat, frame) {
    if (frame.type === "user_left" && frame.user_id === this.#account.me.id) {
      this.#account.remove(chat);
    } else if (frame.type === "chat_created") {
      this.#readAfresh(chat.id, frame.version);
    } else {
      chat.early.set(frame.version, frame);
      this.#applyEarly(chat);
    }
  }

  /** Applies the pushes that follow the cursor; where some lie further ahead, asks for what is between. @param {Chat} chat */
  #applyEarly(chat) {
    const {early} = chat;
    for (let frame = early.get(chat.cursor + 1); frame?.version; frame = early.get(chat.cursor + 1)) {
      early.delete(++chat.cursor);
      this.#applyNext(chat, frame);
    }
    if (!early.size) return;
    for (const version of early.keys()) if (version <= chat.cursor) early.delete(version);
    this.#early.add(chat);
    if (early.size && this.isLive && !this.#resuming.has(chat.id)) void this.#resume(chat);
  }

  #applyAllEarly() {
    const chats = [...this.#early];
    this.#early.clear();
    for (const chat of chats) this.#applyEarly(chat);
  }

  /** @param {Chat} chat */
  async #resume(chat) {
    this.#resuming.add(chat.id);
    try {
      await this.#callResume({[chat.id]: chat.cursor}, false);
    } catch (error) {
      await this.#account.sleep(asChatError(error).retryAfterMs ?? RETRY_MS);
    }
    this.#resuming.delete(chat.id);
    this.#applyEarly(chat);
  }

  /** @param {Chat} chat @param {Frame} frame */
  #applyNext(chat, frame) {
    switch (frame.type) {
      case "new_message":
        chat.takeMessage(frame.message);
        this.#account.arrived(chat, frame.message);
        break;
      case "message_edited":
      case "message_deleted":
        chat.takeMessage(frame.message, false);
        break;
      case "chat_updated":
        chat.takeSettings(frame.chat);
        break;
      case "user_joined":
        chat.takeParticipants(frame.participants);
        chat.countParticipants(chat.participantCount + frame.participants.length);
        break;
      case "participant_updated":
        chat.takeParticipants(frame.participants);
        break;
      case "user_left":
        chat.takeDeparture(frame.user_id, frame.version);
        break;
    }
    this.#account.snapshot.touch(chat);
  }

  /** @param {Chat} chat @param {Frame} page */
  #applyChanges(chat, page) {
    if (page.from > chat.cursor) {
      // It fills a hole of this connection; what lies below it is still to come, by the `resume` of the connect
      // or by one more. Taken now, it would be lost with the connection.
      chat.early.set(page.to, page);
      this.#applyEarly(chat);
      return;
    }
    const isNews = page.to > chat.cursor;
    const {lastSeq} = chat;
    const isOut = page.participants.some((/** @type {Participant} */ one) =>
      one.user_id === this.#account.me.id && one.left_at !== null);
    if (isNews && isOut) {
      this.#account.remove(chat);
      return;
    }
    for (const message of page.messages) {
      chat.takeMessage(message);
      // Without ref it fills a hole of this connection, so what it brings has come live.
      if (!page.ref && message.seq > lastSeq) this.#account.arrived(chat, message);
    }
    if (page.participants.length) {
      chat.takeParticipants(page.participants, isNews);
      if (isNews && !chat.participants) void this.#countPeople(chat);
    }
    if (page.chat && isNews) chat.takeSettings(page.chat);
    chat.hide(page.hidden);
    for (const position of page.positions) chat.takePosition(position.user_id, position);
    chat.cursor = Math.max(chat.cursor, page.to);
    this.#applyEarly(chat);
    this.#account.snapshot.touch(chat);
  }

  /** Who has come and gone meanwhile is not said; the number of people is read. @param {Chat} chat */
  async #countPeople(chat) {
    try {
      const {participant_count} = await this.#account.request("GET", `/chats/${chat.id}`);
      chat.countParticipants(participant_count);
    } catch {
      // The next change of its people asks again.
    }
  }

  // --- Reading afresh ---------------------------------------------------------------------------

  /** @param {number} chatId @param {Frame} frame */
  #applyUnknown(chatId, frame) {
    const isOwnEnd = frame.type === "user_left" && frame.user_id === this.#account.me.id;
    const version = frame.version ?? (frame.type === "changes" ? frame.to : undefined);
    const cursor = this.#stubs.get(chatId);
    if (frame.type === "chat_gone" || isOwnEnd) {
      this.#stubs.delete(chatId);
    } else if (version === undefined || version <= (cursor ?? -1)) {
      return;
    } else if (cursor === undefined || frame.type === "new_message" || frame.messages?.length) {
      this.#readAfresh(chatId, version, frame.chat?.chat_type === "direct");
    } else {
      this.#stubs.set(chatId, version);
    }
  }

  /**
   * Forgets a chat and reads it; its frames wait meanwhile.
   * @param {number} chatId @param {number} version that is known to exist @param {boolean} [isDirect]
   */
  #readAfresh(chatId, version, isDirect = false) {
    const chat = this.#account.chats.get(chatId);
    if (!this.#wanted.has(chatId)) {
      const isKnown = chat?.type === "direct" || this.#stubs.has(chatId);
      this.#wanted.set(chatId, {unread: chat?.unread ?? 0, version, isDirect: isDirect || isKnown});
    }
    chat?.forget();
    this.#reading.set(chatId, []);
    void this.#readWanted();
  }

  async #readWanted() {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      while (this.#wanted.size) {
        const ids = new Set(this.#wanted.keys());
        const items = await this.#findListed(ids);
        for (const id of ids) await this.#finishReading(id, items.get(id));
      }
    } catch (error) {
      void this.#account.sleep(asChatError(error).retryAfterMs ?? RETRY_MS).then(() => {
        if (this.isLive) void this.#readWanted();
      });
    } finally {
      this.#isReading = false;
    }
  }

  /** Reads the list until these are found. @param {Set<number>} ids @returns {Promise<Map<number, ListedChat>>} */
  async #findListed(ids) {
    const found = new Map();
    /** @type {string|null} */
    let cursor = "";
    while (cursor !== null && found.size < ids.size) {
      const page = await this.#account.request("GET", "/chats", {query: {cursor, limit: LIST_PAGE}});
      for (const item of page.items) if (ids.has(item.id)) found.set(item.id, item);
      cursor = page.next_cursor;
    }
    return found;
  }

  /** @param {number} id @param {ListedChat|undefined} listed */
  async #finishReading(id, listed) {
    const isHidden = !listed && this.#wanted.get(id)?.isDirect;
    const item = listed ?? (isHidden ? null : await this.#readItem(id));
    const wanted = this.#wanted.get(id);
    if (wanted === undefined) return;
    if (item && item.epoch !== this.#account.epoch) throw new ChatError("resync_required");
    const held = this.#account.chats.get(id);
    if (item && (listed || item.chat_type === "group")) {
      this.#stubs.delete(id);
      this.#tellMissedOf(this.#account.put(item), wanted.unread);
    } else {
      // What has come since the list was read may have brought it back: that is above this version, and asks again.
      if (item || isHidden) this.#stubs.set(id, wanted.version);
      if (held) this.#account.remove(held);
    }
    this.#takeWaiting(id);
  }

  /** The chat has been read: takes what was heard of it meanwhile. @param {number} id */
  #takeWaiting(id) {
    const frames = this.#reading.get(id) ?? [];
    this.#wanted.delete(id);
    this.#reading.delete(id);
    for (const frame of frames) this.#take(frame);
  }

  /** A chat as the list would show it; null where there is none. @param {number} id @returns {Promise<ListedChat|null>} */
  async #readItem(id) {
    const account = this.#account;
    try {
      const chat = await account.request("GET", `/chats/${id}`);
      const [people, page] = await Promise.all([
        account.request("GET", `/chats/${id}/participants`),
        account.request("GET", `/messages/chat/${id}`, {query: {limit: 1}}),
      ]);
      let peer = null;
      let my;
      for (const one of people.items) {
        if (one.user_id === account.me.id) my = one;
        else if (chat.chat_type === "direct") peer = await account.getUser(one.user_id);
      }
      if (!my) return null;
      const last = page.items.at(-1) ?? null;
      const read = Math.max(my.read_seq, last?.sender_id === account.me.id ? last.seq : 0);
      return {...chat, last_message: last, unread_count: Math.max(0, chat.last_seq - read), peer, my};
    } catch (error) {
      if (asChatError(error).code === "not_found") return null;
      throw error;
    }
  }
}
