/** Everything of the one user who is signed in: chats, live connection, outbox. It ends with the session. */

import {Changes} from "./emitter.js";
import {Chat} from "./chat.js";
import {ChatError, asChatError} from "./errors.js";
import {Drafts} from "./drafts.js";
import {Outbox} from "./outbox.js";
import {Positions} from "./positions.js";
import {Presence} from "./presence.js";
import {Snapshot} from "./snapshot.js";
import {Socket} from "./socket.js";
import {Sync} from "./sync.js";

/** @import {Emitter} from "./emitter.js" */
/** @import {Rest} from "./rest.js" */
/** @import {Session} from "./session.js" */
/** @import {SafeStorage} from "./storage.js" */
/** @import {Tabs} from "./tabs.js" */
/** @import {ChatChange, Frame, Limits, ListedChat, Me, StoredMessage, User} from "./types.js" */

const FOCUSED_CHATS = 5;
const RENEW_AGAIN_MS = 5_000;

/**
 * @typedef {object} Surroundings What an account is given by its client.
 * @property {Rest} rest
 * @property {Session} session
 * @property {Emitter} emitter
 * @property {SafeStorage} storage
 * @property {Tabs} tabs
 * @property {new (url: string, protocols?: string[]) => WebSocket} WebSocket
 * @property {() => number} random
 * @property {() => number} now
 * @property {(limits: Limits) => void} onlimits What the service allows, told at every connect.
 * @property {(account: Account, code: string) => void} onend The session is over.
 */

export class Account {
  /** @type {Map<number, Chat>} */
  chats = new Map();
  chatsLoaded = false;
  totalUnread = 0;
  /** The session is over: nothing is sent, and nothing that was shown is written. */
  isDisposed = false;
  /** The user signed out: not even unsent text is kept. */
  isForgotten = false;
  /** The user is signing out of all devices. */
  isLeaving = false;
  /** @type {string|null} */
  epoch = null;
  /** @type {Chat[]|null} */
  #sorted = null;
  /** Chats that were looked at last, the latest first. @type {Chat[]} */
  #focused = [];
  /** @type {Map<number, Promise<User>>} */
  #users = new Map();
  /** What the server's clock is ahead of this one. */
  #clockAheadMs = 0;
  /** The access token that the socket goes by. @type {string|null} */
  #socketToken = null;
  /** @type {any} */
  #renewal = null;
  #around;

  /** @param {Me} me @param {Surroundings} around */
  constructor(me, around) {
    this.me = me;
    this.#around = around;
    this.emitter = around.emitter;
    this.storage = around.storage;
    this.tabs = around.tabs;
    this.now = around.now;
    /** Keys of what is unsent: it outlives a session that expires. */
    this.textPrefix = `text/${me.id}/`;
    /** Keys of what was shown. */
    this.shownPrefix = `shown/${me.id}/`;
    this.changes = new Changes(around.emitter, around.now);
    this.outbox = new Outbox(this);
    this.drafts = new Drafts(this);
    this.positions = new Positions(this);
    this.presence = new Presence(this);
    this.snapshot = new Snapshot(this);
    this.sync = new Sync(this);
    this.socket = new Socket({
      open: () => this.#openSocket(),
      onframe: (frame) => this.#hear(frame),
      onstate: () => this.emitter.emit("connection"),
      onclose: (code, reason) => this.#closed(code, reason),
      random: around.random,
      now: around.now,
    });
  }

  /** Connected, and in step with the service. */
  get isLive() {
    return this.sync.isLive && !this.isDisposed;
  }

  /** Takes what this device has kept. */
  async open() {
    await this.drafts.load();
    this.chatsLoaded = await this.snapshot.load();
    await this.outbox.load();
  }

  start() {
    this.socket.start();
    this.#planRenewal();
    // At the same time as the socket; where it fails, the socket's success asks again.
    this.sync.loadList().catch(() => {});
  }

  stop() {
    clearTimeout(this.#renewal);
    this.socket.stop();
    this.#disconnected();
    void this.save();
  }

  /** Writes what is still to be written. */
  async save() {
    await Promise.all([this.drafts.flush(), this.snapshot.flush()]);
  }

  /** The session is over. @param {boolean} [isForgotten] by the user's wish */
  dispose(isForgotten = false) {
    this.isDisposed = true;
    this.isForgotten ||= isForgotten;
    clearTimeout(this.#renewal);
    this.socket.stop();
    this.#disconnected();
    this.snapshot.stop();
  }

  // --- Asking the service -----------------------------------------------------------------------

  /** @param {string} method @param {string} path @param {import("./rest.js").Call} [call] @returns {Promise<any>} */
  async request(method, path, call) {
    try {
      return await this.#requestOnce(method, path, call);
    } catch (error) {
      if (!(error instanceof ChatError) || !error.endsSession || this.isDisposed) throw error;
      await this.#ask(() => this.#around.session.refresh());
      return this.#requestOnce(method, path, call);
    }
  }

  /** @param {number} id @param {boolean} [afresh] asks also where it is known @returns {Promise<User>} */
  getUser(id, afresh = false) {
    const known = this.#users.get(id);
    if (known && !afresh) return known;
    const asked = this.request("GET", `/users/${id}`);
    if (!known) this.#users.set(id, asked);
    asked.then((user) => this.takePeer(user), () => { if (!known) this.#users.delete(id); });
    return asked;
  }

  /** What somebody is like now, for whoever asks and in the chat with them. @param {User} user */
  takePeer(user) {
    this.#users.set(user.id, Promise.resolve(user));
    this.findDirect(user.id)?.takePeer(user);
  }

  /** @param {string} method @param {string} path @param {import("./rest.js").Call} [call] */
  async #requestOnce(method, path, call) {
    const token = await this.#ask(() => this.#around.session.token());
    const answer = await this.#around.rest.call(method, path, {...call, token});
    if (this.isDisposed) throw new ChatError("session_revoked");
    return answer;
  }

  /** Asks the session, and ends with it. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async #ask(work) {
    try {
      if (this.isDisposed) throw new ChatError("session_revoked");
      const answer = await work();
      // Somebody else may have signed in, in another tab.
      if (this.#around.session.access?.user.id !== this.me.id) throw new ChatError("session_revoked");
      return answer;
    } catch (error) {
      if (!this.isDisposed && asChatError(error).endsSession) this.#around.onend(this, asChatError(error).code);
      throw error;
    }
  }

  /** @param {number} ms @returns {Promise<void>} */
  sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  /** The time by the server's clock. */
  serverTime() {
    return new Date(this.now() + this.#clockAheadMs);
  }

  // --- The list ---------------------------------------------------------------------------------

  /** Newest activity first. The same array until the order changes. */
  sortedChats() {
    this.#sorted ??= [...this.chats.values()].sort((a, b) =>
      a.lastActivityAt === b.lastActivityAt ? b.id - a.id : a.lastActivityAt < b.lastActivityAt ? 1 : -1);
    return this.#sorted;
  }

  /** @param {Chat} chat whose activity has changed @param {boolean} isOwn */
  reorder(chat, isOwn) {
    const [first, second] = this.#sorted ?? [];
    const isStillFirst = first === chat && !(second && second.lastActivityAt >= chat.lastActivityAt);
    if (!isStillFirst) this.#sorted = null;
    this.changes.list(isOwn);
  }

  /** A chat as it was read. @param {ListedChat} item @returns {Chat} */
  put(item) {
    let chat = this.chats.get(item.id);
    const isNew = !chat;
    chat ??= new Chat(this, item.id);
    this.chats.set(item.id, chat);
    chat.reset(item);
    if (item.peer) this.takePeer(item.peer);
    if (isNew) {
      chat.draft = this.drafts.get(chat.id);
      this.outbox.show(chat);
    }
    this.#sorted = null;
    this.changes.list();
    this.snapshot.touch(chat);
    return chat;
  }

  /** The user is not in it any more. @param {Chat} chat */
  remove(chat) {
    if (!this.chats.delete(chat.id)) return;
    chat.uncount();
    chat.forget();
    this.#sorted = null;
    this.changes.list();
    this.snapshot.touch(chat);
  }

  /** @param {number} userId */
  findDirect(userId) {
    for (const chat of this.chats.values()) if (chat.peer?.id === userId) return chat;
    return undefined;
  }

  /** @param {Chat} chat that is looked at now */
  focus(chat) {
    if (this.#focused[0] === chat) return;
    this.#focused = [chat, ...this.#focused.filter((one) => one !== chat)];
    this.#focused.splice(FOCUSED_CHATS).forEach((one) => one.history.blur());
  }

  /** @param {Chat} chat @param {ChatChange} kind @param {boolean} [isOwn] */
  changed(chat, kind, isOwn) {
    this.changes.chat(chat, kind, isOwn);
    this.snapshot.touch(chat);
  }

  /** @param {Chat} chat @param {StoredMessage} message that has come live */
  arrived(chat, message) {
    if (message.sender_id !== this.me.id) this.emitter.emit("message", {chat, message});
  }

  // --- The connection ---------------------------------------------------------------------------

  /** In step with the service after a connect. */
  wentLive() {
    this.socket.settle();
    this.positions.flush();
    this.presence.resume();
    this.outbox.dropSettled();
    void this.outbox.flush();
  }

  /** There is a new access token of this user. */
  tokenRenewed() {
    this.#planRenewal();
    this.#authenticate();
  }

  /** @param {Frame} frame */
  #hear(frame) {
    if (frame.type === "connected") {
      this.#clockAheadMs = Date.parse(frame.server_time) - this.now();
      this.#around.onlimits(frame.limits);
      this.#planRenewal();
      this.#authenticate();
    }
    // The timers of a page in the background are late; this is not.
    if (frame.type === "token_expiring" && this.#around.session.endsSoon) void this.#renew();
    this.sync.hear(frame);
  }

  /** The socket goes by the newest token. */
  #authenticate() {
    const token = this.#around.session.access?.token;
    if (!token || token === this.#socketToken || !this.socket.isOnline) return;
    this.#socketToken = token;
    this.socket.call({type: "authenticate", token}).catch(() => {});
  }

  async #openSocket() {
    const {session, rest, WebSocket} = this.#around;
    const url = `${rest.url.replace(/^http/, "ws")}/api/v1/ws`;
    const token = await this.#ask(() => session.token());
    this.#socketToken = token;
    if (!session.usesCookie) return new WebSocket(url, ["chat.v1", `bearer.${token}`]);
    try {
      const {ticket} = await rest.call("POST", "/auth/ws-ticket", {token});
      return new WebSocket(`${url}?ticket=${encodeURIComponent(ticket)}`);
    } catch (error) {
      if (asChatError(error).endsSession) session.expire();
      throw error;
    }
  }

  /** @param {number} code @param {string} reason @returns {boolean} whether to come back */
  #closed(code, reason) {
    this.#disconnected();
    if (code === 4001) this.#around.session.expire();
    if (code === 4003 && reason === "account_disabled") this.#around.onend(this, reason);
    return code !== 4003 && code !== 4009;
  }

  #disconnected() {
    this.positions.stop();
    this.sync.disconnect();
    this.presence.clear();
  }

  /** Renews the access token shortly before it ends, so that the socket lives on. */
  #planRenewal() {
    clearTimeout(this.#renewal);
    const {session, now, random} = this.#around;
    if (this.socket.state === "stopped" || !session.access) return;
    // Not all tabs at the same moment: the first one renews for all.
    const early = (session.access.expiresAt - session.renewAt) * random() * 0.2;
    const pause = Math.max(0, session.renewAt - now()) + early;
    this.#renewal = setTimeout(() => void this.#renew(), pause);
  }

  async #renew() {
    try {
      await this.#ask(() => this.#around.session.refresh());
    } catch (error) {
      const {endsSession, retryAfterMs} = asChatError(error);
      // Without a connection the next one asks for a token by itself.
      if (endsSession || !this.socket.isOnline) return;
      const pause = retryAfterMs ?? RENEW_AGAIN_MS * (1 + this.#around.random());
      clearTimeout(this.#renewal);
      this.#renewal = setTimeout(() => void this.#renew(), pause);
    }
  }
}
