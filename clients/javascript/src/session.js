/**
 * The access token, kept in memory, and its renewal: one renewal at a time over all tabs, whose result all share.
 *
 * The refresh token is in a cookie that no script can read, or in the `TokenStore` of the application.
 */

import {ChatError, asChatError} from "./errors.js";

/** @import {Rest} from "./rest.js" */
/** @import {Tabs} from "./tabs.js" */
/** @import {Me, TokenStore} from "./types.js" */

/** How long a sign-in waits for what is still under way, and how long the end of a session may take. */
const SETTLE_MS = 10_000;
/** The service takes a used refresh token for ten seconds more: an answer that is lost must be asked for again
 * within them. */
const REFRESH_MS = 6_000;

/** @typedef {{token: string, expiresAt: number, lifeMs: number, user: Me}} Access */

export class Session {
  /** @type {Access|null} */
  access = null;
  /** A new access token, of whatever user. @type {(access: Access) => void} */
  onaccess = () => {};
  /** @type {Promise<Access>|null} */
  #refreshing = null;
  /** @type {Promise<void>|null} */
  #ending = null;
  #generation = 0;
  #rest;
  #store;
  #tabs;
  #now;

  /** @param {Rest} rest @param {TokenStore|null} store null in cookie mode @param {Tabs} tabs @param {() => number} now */
  constructor(rest, store, tabs, now) {
    this.#rest = rest;
    this.#store = store;
    this.#tabs = tabs;
    this.#now = now;
  }

  get usesCookie() {
    return this.#store === null;
  }

  /** When the token should be renewed: a minute before it ends, or a fifth of a short life. */
  get renewAt() {
    return this.access ? this.access.expiresAt - Math.min(60_000, this.access.lifeMs / 5) : 0;
  }

  /** Whether it should be renewed about now. */
  get endsSoon() {
    return this.access !== null && this.#now() > this.renewAt - Math.min(5_000, this.access.lifeMs / 10);
  }

  /** An access token that is good for a while. Throws a `ChatError`. @returns {Promise<string>} */
  async token() {
    const access = this.#isFresh() ? this.access : await this.refresh();
    return /** @type {Access} */ (access).token;
  }

  /** @param {string} username @param {string} password @returns {Promise<Access>} */
  async signIn(username, password) {
    this.forget();
    await this.#settle();
    return this.#accept(this.#rest.call("POST", "/users/login", {
      body: {username, password},
      withCookie: this.usesCookie,
    }));
  }

  /** The next access token; throws where there is no session any more. @returns {Promise<Access>} */
  refresh() {
    this.#refreshing ??= this.#refresh(this.access?.token).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** The server does not take the token any more. */
  expire() {
    if (this.access) this.access.expiresAt = 0;
  }

  /** @param {Access} access what another tab was given */
  adopt(access) {
    this.access = access;
    this.onaccess(access);
  }

  /** Whatever is still under way belongs to nobody any more. */
  forget() {
    this.#generation++;
    this.access = null;
  }

  /** Forgets the tokens of this device; the server is told where it can be reached. @returns {Promise<void>} */
  end() {
    this.#ending ??= this.#end().finally(() => { this.#ending = null; });
    return this.#ending;
  }

  async #end() {
    const token = this.usesCookie ? undefined : await this.token().catch(() => undefined);
    this.forget();
    await this.#store?.save(null);
    if (!this.usesCookie && !token) return;
    const call = {token, withCookie: this.usesCookie, outlivesPage: true, timeoutMs: SETTLE_MS};
    await this.#rest.call("POST", "/auth/logout", call);
  }

  /** Late answers would take the place of the next session: they are waited for, a while. */
  async #settle() {
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, SETTLE_MS); });
    await Promise.race([Promise.allSettled([this.#refreshing, this.#ending]), late]);
    clearTimeout(timer);
  }

  /** @param {string|undefined} stale */
  #refresh(stale) {
    return this.#tabs.lock("refresh", async () => {
      // Another tab may have renewed it while this one waited.
      if (this.access && this.access.token !== stale && this.#isFresh()) return this.access;
      const refreshToken = this.#store && (await this.#store.load());
      if (this.#store && !refreshToken) throw new ChatError("unauthenticated");
      return this.#accept(this.#askForNext({
        body: refreshToken ? {refresh_token: refreshToken} : undefined,
        withCookie: this.usesCookie,
      }));
    });
  }

  /** @param {import("./rest.js").Call} call */
  async #askForNext(call) {
    try {
      return await this.#rest.call("POST", "/auth/refresh", {...call, timeoutMs: REFRESH_MS});
    } catch (error) {
      if (asChatError(error).code !== "network") throw error;
      return this.#rest.call("POST", "/auth/refresh", call);
    }
  }

  /** @param {Promise<any>} asked */
  async #accept(asked) {
    const generation = this.#generation;
    const answer = await asked;
    if (generation !== this.#generation) throw new ChatError("session_revoked");
    await this.#store?.save(answer.refresh_token);
    if (generation !== this.#generation) {
      // Signed out while it was written, which takes a while where the device encrypts it.
      await this.#store?.save(null);
      throw new ChatError("session_revoked");
    }
    const lifeMs = answer.expires_in * 1000;
    /** @type {Access} */
    const access = {token: answer.access_token, expiresAt: this.#now() + lifeMs, lifeMs, user: answer.user};
    this.access = access;
    this.#tabs.post({type: "token", access});
    this.onaccess(access);
    return access;
  }

  #isFresh() {
    return this.access !== null && this.#now() < this.renewAt;
  }
}
