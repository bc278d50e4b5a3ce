/** What the tabs of one browser share: locks, and a channel to tell each other. Alone, both are local. */

/** @import {Options} from "./types.js" */

/**
 * @typedef {{type: "token", access: import("./session.js").Access}
 *   | {type: "signed-out", userId: number}
 *   | {type: "me", userId: number, user: import("./types.js").Me}
 *   | {type: "draft", userId: number, chatId: number, text: string}
 *   | {type: "outbox", userId: number}} TabMessage
 */

export class Tabs {
  /** @type {(message: TabMessage) => void} */
  onmessage = () => {};
  /** @type {BroadcastChannel|null} */
  #channel = null;
  /** @type {Map<string, Promise<unknown>>} */
  #local = new Map();
  #locks;
  #name;

  /** @param {string} name @param {Pick<Options, "BroadcastChannel"|"locks">} platform */
  constructor(name, {BroadcastChannel, locks}) {
    this.#name = name;
    this.#locks = locks;
    try {
      this.#channel = BroadcastChannel ? new BroadcastChannel(name) : null;
    } catch {
      // Blocked together with storage; then every tab is alone.
    }
    if (this.#channel) {
      this.#channel.onmessage = (event) => this.onmessage(event.data);
      // Node: listening must not keep the process alive.
      /** @type {any} */ (this.#channel).unref?.();
    }
  }

  /** @param {TabMessage} message to all the others */
  post(message) {
    this.#channel?.postMessage(message);
  }

  /**
   * Runs `work` while no other tab runs work of that name.
   * @template T @param {string} name @param {() => Promise<T>} work @returns {Promise<T>}
   */
  async lock(name, work) {
    const full = `${this.#name}:${name}`;
    if (this.#locks) {
      let result;
      /** @type {{error: unknown}|undefined} */
      let failure;
      let hasRun = false;
      try {
        await this.#locks.request(full, async () => {
          hasRun = true;
          try {
            result = await work();
          } catch (error) {
            failure = {error};
          }
        });
      } catch {
        // Locks are refused to pages without storage.
      }
      if (failure) throw failure.error;
      if (hasRun) return /** @type {T} */ (/** @type {unknown} */ (result));
    }
    const before = this.#local.get(full) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#local.set(full, mine.catch(() => {}));
    return mine;
  }

  close() {
    this.#channel?.close();
    this.#channel = null;
  }
}
