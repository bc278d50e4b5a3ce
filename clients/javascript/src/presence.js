/** Who is online, of the people of one's direct chats. Asked for once a connection, then told by pushes. */

/** @import {Account} from "./account.js" */

export class Presence {
  /** @type {Map<number, boolean>} */
  #online = new Map();
  /** @type {Map<number, Date>} */
  #lastSeen = new Map();
  /** Asked for on this connection. @type {Set<number>} */
  #asked = new Set();
  /** Looked for while there was no connection. @type {Set<number>} */
  #missed = new Set();
  #asking = Promise.resolve();
  #account;

  /** @param {Account} account */
  constructor(account) {
    this.#account = account;
  }

  /** @param {number} userId */
  isOnline(userId) {
    const known = this.#online.get(userId);
    if (known === undefined) this.#ask(userId);
    return known;
  }

  /** @param {number} userId */
  lastSeen(userId) {
    return this.#lastSeen.get(userId);
  }

  /** @param {number} userId @param {boolean} isOnline @param {string} [lastSeen] */
  take(userId, isOnline, lastSeen) {
    if (lastSeen) this.#lastSeen.set(userId, new Date(lastSeen));
    if (this.#online.get(userId) === isOnline) return;
    this.#online.set(userId, isOnline);
    this.#account.emitter.emit("presence", {userId});
  }

  /** Connected again: asks for whoever was looked for meanwhile. */
  resume() {
    const missed = [...this.#missed];
    this.#missed.clear();
    for (const userId of missed) this.isOnline(userId);
  }

  /** The connection is gone, and with it what was known. */
  clear() {
    const known = [...this.#online.keys()];
    this.#online.clear();
    this.#asked.clear();
    for (const userId of known) this.#account.emitter.emit("presence", {userId});
  }

  /** One request after the other, for chats that are shown. @param {number} userId */
  #ask(userId) {
    if (!this.#account.isLive) {
      this.#missed.add(userId);
      return;
    }
    if (this.#asked.has(userId)) return;
    const chat = this.#account.findDirect(userId);
    if (!chat) return;
    this.#asked.add(userId);
    const {generation} = this.#account.socket;
    this.#asking = this.#asking.then(async () => {
      if (generation !== this.#account.socket.generation) return;
      try {
        const {user_ids} = await this.#account.request("GET", `/chats/${chat.id}/online`);
        if (generation !== this.#account.socket.generation || this.#online.has(userId)) return;
        this.take(userId, user_ids.includes(userId));
      } catch {
        this.#asked.delete(userId);
      }
    });
  }
}
