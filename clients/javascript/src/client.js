/** The door of the package: who is signed in, on which platform, and what the account offers. */

import {Account} from "./account.js";
import {ChatError, asChatError} from "./errors.js";
import {Emitter} from "./emitter.js";
import {makeKey} from "./keys.js";
import {IndexedDbStorage, MemoryStorage, SafeStorage} from "./storage.js";
import {Registration} from "./registration.js";
import {Rest} from "./rest.js";
import {Session} from "./session.js";
import {Tabs} from "./tabs.js";
import {watchPage} from "./page.js";

/** @import {Chat} from "./chat.js" */
/** @import {Access} from "./session.js" */
/** @import {ClientState, ConnectionState, DeviceSession, Info, Limits, Me, Options, TokenStore, User} from "./types.js" */

/** How long `restore` waits for the service before it shows what was shown last, or that nobody is signed in. */
const PATIENCE_MS = 1_000;
/** @type {ReadonlyMap<number, Chat>} */
const NO_CHATS = new Map();
/** @type {readonly Chat[]} */
const NO_LIST = [];

export class ChatClient extends Emitter {
  /** @type {ClientState} */
  state = "unknown";
  /** @type {Info|null} */
  info = null;
  /** @type {Account|null} */
  #account = null;
  #isStarted = false;
  #unwatch = () => {};
  /** Entering and leaving accounts, one after the other. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  #rest;
  #registration;
  #session;
  #storage;
  #tabs;
  #platform;

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    const {session = "cookie", tokenStore, name = "chat"} = options;
    const url = options.url ?? globalThis.location?.origin;
    const fetch = options.fetch ?? globalThis.fetch?.bind(globalThis);
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!url || !fetch || !WebSocket) throw new TypeError("ChatClient needs url, fetch and WebSocket.");
    const now = options.now ?? Date.now;
    // A token in memory belongs to this client alone; a cookie or a store of the application to all its tabs.
    const isShared = session === "cookie" || tokenStore !== undefined;
    const full = `${name}:${url}`;
    this.#platform = {WebSocket, now, random: options.random ?? Math.random};
    this.#rest = new Rest(url, fetch);
    this.#registration = new Registration(this.#rest, (username, password) => this.signIn(username, password));
    this.#storage = new SafeStorage(options.storage ?? findStorage(full));
    this.#tabs = new Tabs(full, {
      BroadcastChannel: pick(options.BroadcastChannel, isShared ? globalThis.BroadcastChannel : null),
      locks: pick(options.locks, isShared ? globalThis.navigator?.locks : null),
    });
    const store = session === "cookie" ? null : tokenStore ?? memoryTokenStore();
    this.#session = new Session(this.#rest, store, this.#tabs, now);
    this.#session.onaccess = (access) => this.#takeAccess(access);
    this.#tabs.onmessage = (message) => {
      if (message.type === "token") this.#session.adopt(message.access);
      else if (message.userId !== this.me?.id) return;
      else if (message.type === "signed-out") this.#sessionEnded("signed_out", this.#account);
      else if (message.type === "me") this.#setMe(message.user);
      else if (message.type === "draft") this.#account?.drafts.take(message.chatId, message.text);
      else if (message.type === "outbox") void this.#account?.outbox.notice();
    };
  }

  // --- What is known ----------------------------------------------------------------------------

  /** @returns {Me|null} */
  get me() {
    return this.#account?.me ?? null;
  }

  /** @returns {ConnectionState} */
  get connection() {
    return this.#account?.socket.state ?? "stopped";
  }

  /** When it will try again, in ms since 1970; null unless that is planned. */
  get retryAt() {
    return this.#account?.socket.retryAt ?? null;
  }

  /** Why the service asked not to come back, as `too_many_connections` or `forbidden`; null unless it did. */
  get stoppedBy() {
    return this.#account?.socket.stoppedBy ?? null;
  }

  get chats() {
    return this.#account?.chats ?? NO_CHATS;
  }

  get chatsLoaded() {
    return this.#account?.chatsLoaded ?? false;
  }

  /** Whether the service has said which chats there are; until then `chats` is what was shown last. */
  get chatsListed() {
    return this.#account?.sync.isListed ?? false;
  }

  /** What was written to a chat and not sent, oldest first, also where one is not in it any more. @param {number} chatId
   * @returns {string[]} */
  unsentTo(chatId) {
    const {outbox, drafts} = this.#account ?? {};
    return [...(outbox?.listTexts(chatId) ?? []), drafts?.get(chatId) ?? ""].filter((text) => text !== "");
  }

  get totalUnread() {
    return this.#account?.totalUnread ?? 0;
  }

  /** Newest activity first. The same array until the order changes. @returns {readonly Chat[]} */
  sortedChats() {
    return this.#account?.sortedChats() ?? NO_LIST;
  }

  // --- Identity ---------------------------------------------------------------------------------

  /**
   * Goes on with the session of this device. Without a network, or on a slow one, it goes on with what was shown
   * last; where that is nothing, a late answer signs in.
   * @returns {Promise<boolean>} whether somebody is signed in
   */
  restore() {
    return this.#inTurn(() => this.#restore());
  }

  /**
   * Makes an account and signs in. Where an answer was lost, the same call goes on from there.
   * @param {{username: string, email: string, password: string, full_name?: string}} fields @returns {Promise<Me>}
   */
  register(fields) {
    return this.#registration.run(fields);
  }

  /** @param {string} username or e-mail address @param {string} password @returns {Promise<Me>} */
  async signIn(username, password) {
    if (this.#account) await this.signOut();
    void this.#loadInfo();
    const access = await this.#session.signIn(username, password);
    await this.#inTurn(() => this.#enter(access.user));
    return access.user;
  }

  /** Ends the session, and removes all that this device has kept of the user. */
  async signOut() {
    const account = this.#account;
    if (!account) return;
    // First of all: where the page is closed or the server cannot be reached, the next `restore` makes it good.
    if (this.#session.usesCookie) await this.#storage.set("signing-out", true);
    this.#tabs.post({type: "signed-out", userId: account.me.id});
    await this.#leave("signed_out", account);
    await Promise.all([this.#storage.clear(account.textPrefix), this.#endSession()]);
  }

  async signOutEverywhere() {
    const account = this.#signedIn;
    account.isLeaving = true;
    try {
      await account.request("POST", "/auth/logout-all");
    } catch (error) {
      // This session's own end may have been heard before the answer.
      if (!account.isDisposed) {
        account.isLeaving = false;
        throw error;
      }
    }
    await this.signOut();
    await this.#storage.clear(account.textPrefix);
  }

  /** The devices that are signed in, the last used first. @returns {Promise<DeviceSession[]>} */
  async listSessions() {
    return (await this.#signedIn.request("GET", "/auth/sessions")).items;
  }

  /** Signs one device out. @param {string} id */
  async endSession(id) {
    await this.#signedIn.request("DELETE", `/auth/sessions/${id}`);
  }

  /** Ends every other session. @param {string} current @param {string} next */
  async changePassword(current, next) {
    await this.#signedIn.request("PUT", "/users/me/password", {
      body: {current_password: current, new_password: next},
    });
  }

  /** Given fields change, null clears one.
   * @param {{full_name?: string|null, bio?: string|null, phone?: string|null, avatar_url?: string|null}} fields */
  async updateProfile(fields) {
    const user = await this.#signedIn.request("PUT", "/users/me", {body: fields});
    this.#setMe(user);
    this.#tabs.post({type: "me", userId: user.id, user});
  }

  /** Active people with words that begin so; two characters or more. @param {string} words @returns {Promise<User[]>} */
  async searchUsers(words) {
    return (await this.#signedIn.request("GET", "/users/search", {query: {q: words, limit: 20}})).items;
  }

  /** Asked for once, and again with `afresh`. @param {number} id @param {{afresh?: boolean}} [options] @returns {Promise<User>} */
  async getUser(id, {afresh = false} = {}) {
    return this.#signedIn.getUser(id, afresh);
  }

  // --- Live -------------------------------------------------------------------------------------

  /** Connects, now or as soon as somebody is signed in, and stays connected; also where the service closed one of
   * too many connections. */
  start() {
    if (this.#isStarted) {
      if (this.connection === "stopped") this.#account?.start();
      return;
    }
    this.#isStarted = true;
    this.#unwatch = watchPage({
      wake: (isSeen) => this.#account?.socket.wake(isSeen),
      drop: () => this.#account?.socket.drop(),
      save: () => void this.#account?.save(),
    });
    this.#account?.start();
    void this.#loadInfo();
  }

  stop() {
    this.#isStarted = false;
    this.#unwatch();
    this.#account?.stop();
  }

  /** Somebody whom one has a direct chat with; undefined while that is not known. @param {number} userId @returns {boolean|undefined} */
  isOnline(userId) {
    return this.#account?.presence.isOnline(userId);
  }

  /** When somebody went offline, where that was seen. @param {number} userId @returns {Date|undefined} */
  lastSeen(userId) {
    return this.#account?.presence.lastSeen(userId);
  }

  // --- Chats ------------------------------------------------------------------------------------

  /** The chat with somebody, which is made where there is none. @param {number} userId @returns {Promise<Chat>} */
  openDirect(userId) {
    return this.#createChat({chat_type: "direct", participant_ids: [userId]});
  }

  /**
   * @param {string|null} name @param {number[]} userIds
   * @param {{key?: string}} [options] `key`: from `makeKey`; the same call with the same key gives the same group
   * @returns {Promise<Chat>}
   */
  createGroup(name, userIds, {key = makeKey()} = {}) {
    return this.#createChat({chat_type: "group", name, participant_ids: userIds}, {"Idempotency-Key": key});
  }

  /** @param {object} body @param {Record<string, string>} [headers] @returns {Promise<Chat>} */
  async #createChat(body, headers) {
    const account = this.#signedIn;
    const {id} = await account.request("POST", "/chats", {body, headers});
    const chat = account.chats.get(id) ?? (await account.sync.readOne(id));
    if (!chat) throw new ChatError("not_found");
    return chat;
  }

  // --- Parts ------------------------------------------------------------------------------------

  get #signedIn() {
    if (!this.#account) throw new ChatError("unauthenticated");
    return this.#account;
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #inTurn(work) {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #restore() {
    if (this.#account) return true;
    void this.#loadInfo();
    if (await this.#storage.get("signing-out")) {
      await Promise.race([this.#endSession(), sleep(PATIENCE_MS)]);
      this.#setState("signed-out");
      return false;
    }
    const remembered = await this.#findRemembered();
    const refreshing = this.#session.refresh();
    try {
      const access = await Promise.race([refreshing, sleep(PATIENCE_MS)]);
      if (access) await this.#enter(access.user);
    } catch (caught) {
      const error = asChatError(caught);
      if (error.endsSession) await this.#forgetShown();
      if (error.endsSession || !remembered) {
        this.#setState("signed-out");
        return false;
      }
    }
    // No answer, or none yet: the account asks again, and ends if it is refused. Without one, a late answer enters.
    refreshing.catch(() => {});
    if (!this.#account && remembered) await this.#enter(remembered);
    if (!this.#account) this.#setState("signed-out");
    return this.#account !== null;
  }

  /** Who was signed in last on this device. @returns {Promise<Me|undefined>} */
  async #findRemembered() {
    const id = await this.#storage.get("last");
    return id && this.#storage.get(`shown/${id}/me`);
  }

  /** @param {Me} me */
  async #enter(me) {
    if (this.#account?.me.id === me.id) return;
    if (this.#account) await this.#leaveNow("account_changed", this.#account);
    const account = new Account(me, {
      ...this.#platform,
      rest: this.#rest,
      session: this.#session,
      emitter: this,
      storage: this.#storage,
      tabs: this.#tabs,
      onlimits: (limits) => this.#takeLimits(limits),
      onend: (ended, code) => this.#sessionEnded(code, ended),
    });
    await account.open();
    await this.#storage.delete("signing-out");
    await this.#storage.set("last", me.id);
    await this.#storage.set(`shown/${me.id}/me`, me);
    this.#account = account;
    this.#setState("signed-in");
    this.emit("me");
    this.emit("chats");
    if (this.#isStarted) account.start();
  }

  /** A new access token, of this tab or another. @param {Access} access */
  #takeAccess({user}) {
    if (this.#account?.me.id === user.id) {
      this.#account.tokenRenewed();
      this.#setMe(user);
    } else if (this.state !== "unknown") {
      // Somebody has signed in, perhaps in another tab: all tabs have one identity.
      void this.#inTurn(() => this.#enter(user));
    }
  }

  /** @param {Me} me */
  #setMe(me) {
    if (!this.#account || JSON.stringify(me) === JSON.stringify(this.me)) return;
    this.#account.me = me;
    void this.#storage.set(`shown/${me.id}/me`, me);
    this.emit("me");
  }

  /** Not by this tab's wish. @param {string} reason @param {Account|null} account */
  #sessionEnded(reason, account) {
    if (account !== this.#account) return;
    this.#session.forget();
    void this.#leave(account?.isLeaving ? "signed_out" : reason, account);
  }

  /** @param {string} reason @param {Account|null} account */
  #leave(reason, account) {
    account?.dispose(reason === "signed_out");
    return this.#inTurn(() => this.#leaveNow(reason, account));
  }

  /** @param {string} reason @param {Account|null} account */
  async #leaveNow(reason, account) {
    if (!account || this.#account !== account) return;
    account.dispose();
    await account.drafts.flush();
    this.#account = null;
    await this.#forgetShown();
    if (reason !== "account_changed") this.#setState("signed-out");
    this.emit("signed-out", {reason});
    this.emit("me");
    this.emit("connection");
    this.emit("chats");
  }

  async #forgetShown() {
    await this.#storage.delete("last");
    await this.#storage.clear("shown/");
  }

  /** Tells the server, now or when the next `restore` finds `signing-out`. */
  async #endSession() {
    try {
      await this.#session.end();
    } catch (error) {
      if (!asChatError(error).endsSession) return;
    }
    await this.#storage.delete("signing-out");
  }

  async #loadInfo() {
    if (this.info) return;
    try {
      this.info = await this.#rest.call("GET", "/info");
      this.emit("info");
    } catch {
      // It is asked for again at the next sign-in, start or connect.
    }
  }

  /** @param {Limits} limits */
  #takeLimits(limits) {
    if (!this.info) void this.#loadInfo();
    else if (JSON.stringify(limits) !== JSON.stringify(this.info.limits)) {
      this.info = {...this.info, limits};
      this.emit("info");
    }
  }

  /** @param {ClientState} state */
  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.emit("state");
  }
}

/** @param {string} name */
function findStorage(name) {
  try {
    return globalThis.indexedDB ? new IndexedDbStorage(name) : new MemoryStorage();
  } catch {
    // A page that may not keep anything.
    return new MemoryStorage();
  }
}

/** @template T @param {T|null|undefined} given @param {T|null|undefined} usual @returns {T|null} */
function pick(given, usual) {
  return (given === undefined ? usual : given) ?? null;
}

/** @param {number} ms @returns {Promise<null>} */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(() => resolve(null), ms));
}

/** @returns {TokenStore} */
function memoryTokenStore() {
  /** @type {string|null} */
  let kept = null;
  return {
    load: async () => kept,
    save: async (token) => { kept = token; },
  };
}
