/** One chat as the application sees it, and as pushes and pages change it (the methods that are internal). */

import {History} from "./history.js";
import {Loader} from "./loader.js";
import {People} from "./people.js";

/** @import {Account} from "./account.js" */
/** @import {ChatChange, ChatData, ListedChat, Message, Participant, PendingMessage, Revision, Role, StoredMessage, User} from "./types.js" */

const TYPING_EVERY_MS = 4_000;
const TYPING_ENDS_MS = 6_000;

export class Chat {
  /** @type {"direct"|"group"} */
  type = "group";
  /** @type {string|null} */
  name = null;
  /** The other one of a direct chat. @type {User|null} */
  peer = null;
  createdBy = 0;
  /** @type {Role} */
  myRole = "member";
  lastSeq = 0;
  readSeq = 0;
  deliveredSeq = 0;
  participantCount = 0;
  /** @type {StoredMessage|null} */
  lastMessage = null;
  /** When it was made. */
  createdAt = "";
  /** When it was made, or its newest message was written; as text, which sorts. */
  lastActivityAt = "";
  /** One's own messages that wait to be sent or were refused, oldest first. Replaced at each change.
   * @type {readonly PendingMessage[]} */
  pending = [];
  /** What was typed and not sent. */
  draft = "";
  /** The version up to which everything is known; negative while it is read afresh. @internal */
  cursor = -1;
  /** Pushes from further ahead, by version. @internal @type {Map<number, import("./types.js").Frame>} */
  early = new Map();
  /** @internal */
  history = new History();
  /** @internal */
  people;
  /** The newest seq that is one's own, or was read. @internal */
  mine = 0;
  /** The read position that the server holds. @internal */
  readAcked = 0;
  #account;
  #loader;
  /** @type {Promise<void>|null} */
  #loadingPeople = null;
  #counted = 0;
  #settingsVersion = -1;
  #typedAt = -Infinity;
  /** @type {any} */
  #typingTimer = null;

  /** @internal @param {Account} account @param {number} id */
  constructor(account, id) {
    this.#account = account;
    this.id = id;
    this.people = new People(account.me.id);
    this.#loader = new Loader(account, this);
  }

  get version() {
    return this.cursor;
  }

  /** Its name, or that of the other one. */
  get title() {
    return this.name || this.peer?.full_name || this.peer?.username || "";
  }

  get unread() {
    return Math.max(0, this.lastSeq - Math.max(this.readSeq, this.mine));
  }

  /** Ids of the others who type now. @returns {readonly number[]} */
  get typing() {
    return this.people.typing;
  }

  /** Those who are in it; null until `loadParticipants`. @returns {readonly Participant[]|null} */
  get participants() {
    return this.people.present;
  }

  /** @returns {Promise<readonly Participant[]>} */
  async loadParticipants() {
    this.#loadingPeople ??= this.people
      .load(async () => (await this.#request("GET", `/chats/${this.id}/participants`)).items)
      .finally(() => { this.#loadingPeople = null; });
    await this.#loadingPeople;
    this.countParticipants(this.participantCount);
    this.changed("positions");
    return this.participants ?? [];
  }

  /**
   * Ids of those in it who are online now, oneself among them. Of people whom one has no direct chat with the
   * service does not tell when that changes.
   * @returns {Promise<number[]>}
   */
  async listOnline() {
    return (await this.#request("GET", `/chats/${this.id}/online`)).user_ids;
  }

  // --- Messages ---------------------------------------------------------------------------------

  /** @param {number} seq @returns {StoredMessage|undefined} undefined where it is hidden, or not loaded */
  message(seq) {
    return this.history.get(seq);
  }

  /** Whether the message is known not to be visible to the user. @param {number} seq */
  isHidden(seq) {
    return this.history.isHidden(seq);
  }

  /** Loads what is missing in a range, and keeps the neighbourhood of it. @param {number} fromSeq @param {number} toSeq */
  ensure(fromSeq, toSeq) {
    return this.#loader.ensure(fromSeq, toSeq);
  }

  /** What a reply answers, wherever it lies: undefined until `loadOriginal`, null where it is hidden. @param {number} seq */
  original(seq) {
    return this.history.findOriginal(seq);
  }

  /** Loads what a reply answers; what is looked at stays loaded. @param {number} seq */
  async loadOriginal(seq) {
    await this.#loader.loadOriginal(seq);
  }

  /** The seq of the first message at or after a time; of the newest one where all are older. @param {Date} date */
  seqAt(date) {
    return this.#loader.seqAt(date);
  }

  /** Queues a message; it is shown at once and sent when it can be. @param {string} content
   * @param {{replyTo?: StoredMessage|null}} [options] */
  send(content, {replyTo} = {}) {
    this.#stopTyping();
    return this.#account.outbox.add(this, content, replyTo ?? null);
  }

  /** Tries a failed message once more. @param {PendingMessage} message */
  retry(message) {
    this.#account.outbox.retry(message);
  }

  /** Removes a failed message. @param {PendingMessage} message */
  discard(message) {
    this.#account.outbox.discard(message);
  }

  /** @param {StoredMessage} message @param {string} content */
  async edit(message, content) {
    this.takeMessage(await this.#request("PUT", `/messages/${message.id}`, {body: {content}}));
  }

  /** @param {StoredMessage} message @param {"everyone"|"me"} scope */
  async delete(message, scope) {
    const answer = await this.#request("DELETE", `/messages/${message.id}`, {query: {scope}});
    if (scope === "everyone") this.takeMessage(answer);
    else this.hide([message.seq]);
  }

  /** Its texts, from the first to the present one. @param {StoredMessage} message @returns {Promise<Revision[]>} */
  async revisions(message) {
    return (await this.#request("GET", `/messages/${message.id}/revisions`)).items;
  }

  /** How far one's own message has come; `delivered` and `read` mean by all others. @param {Message} message
   * @returns {"queued"|"failed"|"sent"|"delivered"|"read"} */
  status(message) {
    return "state" in message ? message.state : this.people.status(message.seq, this.participantCount - 1);
  }

  /** Who else has read it, of those who are known. @param {Message} message @returns {Participant[]} */
  readers(message) {
    return message.seq === null ? [] : this.people.listReaders(message.seq, message.sender_id);
  }

  /** @param {number} [seq] everything up to here */
  markRead(seq = this.lastSeq) {
    if (seq <= this.readSeq) return;
    this.readSeq = Math.min(seq, this.lastSeq);
    this.#account.positions.touch(this);
    this.#recount();
    this.changed("positions", true);
  }

  /** @param {boolean} isTyping */
  setTyping(isTyping) {
    if (!isTyping) {
      if (this.#stopTyping()) this.#account.socket.send({type: "typing", chat_id: this.id, is_typing: false});
      return;
    }
    clearTimeout(this.#typingTimer);
    this.#typingTimer = setTimeout(() => this.setTyping(false), TYPING_ENDS_MS);
    const now = this.#account.now();
    if (Math.abs(now - this.#typedAt) < TYPING_EVERY_MS) return;
    if (this.#account.socket.send({type: "typing", chat_id: this.id, is_typing: true})) this.#typedAt = now;
  }

  /** Keeps what is being typed. @param {string} text */
  setDraft(text) {
    if (text === this.draft) return;
    this.draft = text;
    this.#account.drafts.save(this.id, text);
    this.changed("draft", true);
  }

  /** What another tab has kept. @internal @param {string} text */
  takeDraft(text) {
    if (text === this.draft) return;
    this.draft = text;
    this.changed("draft");
  }

  // --- Settings and people ----------------------------------------------------------------------

  /** @param {string} name */
  async rename(name) {
    this.takeSettings(await this.#request("PUT", `/chats/${this.id}`, {body: {name}}));
  }

  /** @param {number[]} ids of users */
  async addParticipants(ids) {
    await this.#request("POST", `/chats/${this.id}/participants`, {body: {user_ids: ids}});
  }

  /** @param {number} userId */
  async removeParticipant(userId) {
    await this.#request("DELETE", `/chats/${this.id}/participants/${userId}`);
  }

  /** @param {number} userId @param {Role} role `owner` hands the group over */
  async setRole(userId, role) {
    this.takeParticipants([
      await this.#request("PUT", `/chats/${this.id}/participants/${userId}`, {body: {role}}),
    ]);
  }

  /** Leaves a group; takes a direct chat out of the list until its next message. */
  async leave() {
    const {cursor, lastSeq} = this;
    await this.#request("DELETE", `/chats/${this.id}`);
    this.#account.sync.leave(this, {cursor, lastSeq});
  }

  // --- What is heard ----------------------------------------------------------------------------

  /** Everything afresh, from an item of the list. @internal @param {ListedChat} item */
  reset(item) {
    this.history.clear();
    this.early.clear();
    this.cursor = this.#settingsVersion = item.version;
    this.type = item.chat_type;
    this.name = item.name;
    this.peer = item.peer;
    this.createdBy = item.created_by;
    this.participantCount = item.participant_count;
    this.myRole = item.my.role;
    this.readAcked = item.my.read_seq;
    this.readSeq = Math.min(Math.max(this.readSeq, item.my.read_seq), item.last_seq);
    this.deliveredSeq = item.my.delivered_seq;
    this.mine = Math.max(item.my.read_seq, item.last_seq - item.unread_count);
    this.lastMessage = null;
    this.lastSeq = item.last_seq - 1;
    this.createdAt = item.created_at;
    this.#touch(false);
    if (item.last_message) {
      const last = item.last_message;
      this.lastSeq = last.seq - 1;
      this.takeMessage(last);
      for (let seq = last.seq + 1; seq <= item.last_seq; seq++) this.history.hide(seq);
    }
    this.lastSeq = Math.max(0, item.last_seq);
    if (this.people.present) void this.loadParticipants().catch(() => {});
    this.#recount();
    for (const kind of /** @type {ChatChange[]} */ (["messages", "settings", "positions"])) this.changed(kind);
    if (this.lastSeq > this.deliveredSeq || this.readSeq > this.readAcked) this.#account.positions.touch(this);
  }

  /** Its messages and its cursor do not count any more; it will be reset. @internal */
  forget() {
    this.cursor = -1;
    this.early.clear();
    this.history.clear();
  }

  /**
   * A message of a push, a reply, or the change feed.
   * @internal @param {StoredMessage} message @param {boolean} [isVisible] see `History.take`
   */
  takeMessage(message, isVisible = true) {
    const {seq} = message;
    const isNew = seq > this.lastSeq;
    const isShown = this.history.take(message, isNew, isVisible);
    const isMine = message.sender_id === this.#account.me.id;
    if (isMine) this.mine = Math.max(this.mine, seq);
    if (isNew) {
      this.lastSeq = seq;
      if (this.people.setTyping(message.sender_id, false)) this.changed("typing");
      if (seq > this.mine) this.#account.positions.touch(this);
    }
    const last = this.lastMessage;
    const isLast = !last || seq > last.seq || (seq === last.seq && message.version > last.version);
    const mayBeSeen = isVisible || isShown || seq === last?.seq;
    if (isLast && mayBeSeen && !this.isHidden(seq)) this.#setLast(message);
    // After it has taken its place, so that the chat does not lose its own meanwhile.
    if (isMine) this.#account.outbox.settle(message);
    if (isShown) this.changed("messages");
    if (isNew) this.#recount();
  }

  /** A page of messages, ascending. @internal @param {StoredMessage[]} items */
  takePage(items) {
    for (const item of items) {
      if (item.sender_id === this.#account.me.id) this.#account.outbox.settle(item);
    }
    const newest = items.at(-1);
    if (newest && newest.seq > this.lastSeq) this.takeMessage(newest);
  }

  /** @internal @param {number[]} seqs */
  hide(seqs) {
    for (const seq of seqs) {
      this.history.hide(seq);
      this.lastSeq = Math.max(this.lastSeq, seq);
      if (this.lastMessage?.seq === seq) this.#findLast();
    }
    if (!seqs.length) return;
    this.#recount();
    this.changed("messages");
  }

  /** What the other one of a direct chat is like now. @internal @param {User} peer */
  takePeer(peer) {
    const isSame = JSON.stringify(peer) === JSON.stringify(this.peer);
    this.peer = peer;
    if (isSame) return;
    this.changed("settings");
    this.#account.changes.list();
  }

  /** @internal @param {ChatData} data */
  takeSettings(data) {
    // The answer to a change of one's own may come after the push of a newer one, and before that of an older one.
    if (data.version < this.#settingsVersion) return;
    this.#settingsVersion = data.version;
    this.name = data.name;
    this.participantCount = data.participant_count;
    this.changed("settings");
    this.#account.changes.list();
  }

  /** @internal @param {Participant[]} items @param {boolean} [isNews] false: of a version that was held already */
  takeParticipants(items, isNews = true) {
    for (const item of items) {
      const isMe = item.user_id === this.#account.me.id;
      if (isMe && item.left_at === null) {
        this.myRole = item.role;
        this.changed("settings");
      }
      this.people.take(item, isNews);
    }
    if (this.people.present) this.participantCount = this.people.present.length;
    this.changed("participants");
  }

  /** @internal @param {number} count of people, where the list is not loaded */
  countParticipants(count) {
    this.participantCount = this.people.present?.length ?? count;
    this.changed("participants");
  }

  /** @internal @param {number} userId @param {number} version */
  takeDeparture(userId, version) {
    this.people.leave(userId, version);
    this.countParticipants(this.participantCount - 1);
  }

  /** @internal @param {number} userId @param {{read_seq?: number, delivered_seq?: number}} position */
  takePosition(userId, position) {
    if (userId === this.#account.me.id) {
      this.readAcked = Math.max(this.readAcked, position.read_seq ?? 0);
      this.readSeq = Math.max(this.readSeq, this.readAcked);
      this.deliveredSeq = Math.max(this.deliveredSeq, position.delivered_seq ?? 0);
      this.#recount();
    }
    if (this.people.move(userId, position)) this.changed("positions");
  }

  /** @internal @param {number} userId @param {boolean} isTyping */
  takeTyping(userId, isTyping) {
    if (this.people.setTyping(userId, isTyping)) this.changed("typing");
  }

  /** The connection is gone: nobody is known to type. @internal */
  disconnect() {
    this.early.clear();
    this.#typedAt = -Infinity;
    if (this.people.clearTyping()) this.changed("typing");
  }

  /** @internal @param {readonly PendingMessage[]} pending */
  setPending(pending) {
    this.pending = pending;
    this.#touch(true);
    this.changed("pending", true);
  }

  /** @internal @param {ChatChange} kind @param {boolean} [isOwn] */
  changed(kind, isOwn) {
    this.#account.changed(this, kind, isOwn);
  }

  // --- Parts ------------------------------------------------------------------------------------

  /** @param {string} method @param {string} path @param {import("./rest.js").Call} [call] */
  #request(method, path, call) {
    return this.#account.request(method, path, call);
  }

  /** @param {StoredMessage|null} message */
  #setLast(message) {
    this.lastMessage = message;
    this.#touch(false);
    this.#account.changes.list();
  }

  /** The newest message has been hidden. */
  #findLast() {
    const before = this.history.findBefore(this.lastSeq + 1);
    this.#setLast(before ?? null);
    if (before !== undefined) return;
    const {lastSeq} = this;
    this.#loader.findNewest().then((newest) => {
      if (newest && lastSeq === this.lastSeq && !this.isHidden(newest.seq)) this.#setLast(newest);
    }, () => {});
  }

  /** A pending message has the time of this device, which may be wrong: it counts until the message is sent. @param {boolean} isOwn */
  #touch(isOwn) {
    const sent = this.lastMessage?.timestamp ?? this.createdAt;
    const written = this.pending.at(-1)?.timestamp ?? "";
    const at = written > sent ? written : sent;
    if (at === this.lastActivityAt) return;
    this.lastActivityAt = at;
    this.#account.reorder(this, isOwn);
  }

  #recount() {
    const {unread} = this;
    if (unread === this.#counted) return;
    this.#account.totalUnread += unread - this.#counted;
    this.#counted = unread;
    this.#account.changes.list();
  }

  /** Not counted any more. @internal */
  uncount() {
    this.#account.totalUnread -= this.#counted;
    this.#counted = 0;
  }

  #stopTyping() {
    clearTimeout(this.#typingTimer);
    const wasTyping = this.#typedAt > -Infinity;
    this.#typedAt = -Infinity;
    return wasTyping;
  }
}
