/** Events. Listeners never hurt each other or the caller; changes of chats are told together. */

/** @import {Chat} from "./chat.js" */
/** @import {ChatChange, Events} from "./types.js" */

const FRAME_MS = 16;

export class Emitter {
  /** @type {Map<string, Set<(payload: any) => void>>} */
  #listeners = new Map();

  /**
   * @template {keyof Events} Name
   * @param {Name} event
   * @param {(payload: Events[Name]) => void} listener
   * @returns {() => void} unsubscribes
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @internal @template {keyof Events} Name @param {Name} event @param {Events[Name]} [payload] */
  emit(event, payload) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(payload);
      } catch (error) {
        // As an event of its own, so that the page's error reporting sees it.
        setTimeout(() => { throw error; });
      }
    }
  }
}

/**
 * Gathers changes. What the user does is told in the same microtask; what arrives too, unless something was told
 * less than a frame ago, so that a burst of frames costs at most sixty rounds of events a second.
 */
export class Changes {
  /** @type {Map<Chat, Set<ChatChange>>} */
  #chats = new Map();
  #list = false;
  #flushedAt = 0;
  /** 0: nothing planned, 1: a timer, 2: a microtask. */
  #planned = 0;
  #emitter;
  #now;

  /** @param {Emitter} emitter @param {() => number} now */
  constructor(emitter, now) {
    this.#emitter = emitter;
    this.#now = now;
  }

  /** @param {Chat} chat @param {ChatChange} kind @param {boolean} [isOwn] an act of the user */
  chat(chat, kind, isOwn = false) {
    const kinds = this.#chats.get(chat);
    if (kinds) kinds.add(kind);
    else this.#chats.set(chat, new Set([kind]));
    this.#plan(isOwn);
  }

  /** The order or the members of the list. @param {boolean} [isOwn] */
  list(isOwn = false) {
    this.#list = true;
    this.#plan(isOwn);
  }

  /** @param {boolean} isOwn */
  #plan(isOwn) {
    const wait = FRAME_MS - Math.abs(this.#now() - this.#flushedAt);
    const plan = isOwn || wait <= 0 ? 2 : 1;
    if (plan <= this.#planned) return;
    this.#planned = plan;
    if (plan === 2) queueMicrotask(() => this.#flush());
    else setTimeout(() => this.#flush(), wait);
  }

  #flush() {
    if (!this.#planned) return;
    this.#planned = 0;
    this.#flushedAt = this.#now();
    const chats = this.#chats;
    const list = this.#list;
    this.#chats = new Map();
    this.#list = false;
    for (const [chat, kinds] of chats) this.#emitter.emit("chat", {chat, kinds});
    if (list) this.#emitter.emit("chats");
  }
}
