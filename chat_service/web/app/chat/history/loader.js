/**
 * Asks the chat for the messages around the view that are not loaded yet, and for the originals of replies.
 * While the reader flies past, it waits until they rest.
 */

import { signal } from "@preact/signals";
import { rowsAround } from "./anchor.js";

/** Loaded beyond the view: enough that ordinary scrolling never meets an empty row. */
const BEYOND_PX = 1_500;
const MOST_ROWS = 160;

const REST_MS = 90;
/** An original that could not be loaded is not asked for again before this, unless the network comes back. */
const ORIGINAL_PAUSE_MS = 10_000;

export class Loader {
  /** Why the last request failed; null when nothing is wrong. */
  error = signal(/** @type {any} */ (null));

  /** Originals that are being loaded, or could not be a moment ago. */
  #originals = new Set();
  #hasFailed = false;
  #timer = 0;
  #loadView = () => {};

  constructor(chat) {
    this.chat = chat;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  /**
   * @param {import("./track.js").Track} track
   * @param {number} scrollTop
   * @param {number} view
   * @param {{later?: boolean}} [options] `later`: the view moves fast
   */
  load(track, scrollTop, view, { later = false } = {}) {
    this.#loadView = () => this.#ensure(rowsAround(track, scrollTop, view, BEYOND_PX, MOST_ROWS));
    if (later) this.#waitForRest();
    else if (this.#timer === 0 && this.error.peek() === null) this.#loadView();
  }

  /** Whether something is missing that could not be loaded. */
  get hasFailed() {
    return this.#hasFailed || this.error.peek() !== null;
  }

  /** After a failure: asks again for what is in view. Originals are asked for when their replies are drawn. */
  retry() {
    this.#hasFailed = false;
    this.#originals.clear();
    this.error.value = null;
    this.#loadView();
  }

  /** The message that a reply answers, which may lie anywhere. */
  async loadOriginal(seq) {
    if (this.chat.original(seq) !== undefined || this.#originals.has(seq)) return;
    this.#originals.add(seq);
    try {
      await this.chat.loadOriginal(seq);
      this.#originals.delete(seq);
    } catch {
      this.#hasFailed = true;
      setTimeout(() => this.#originals.delete(seq), ORIGINAL_PAUSE_MS);
    }
  }

  #waitForRest() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#loadView();
    }, REST_MS);
  }

  /** Asked for even when nothing is missing: the chat keeps in memory what lies around its last wish. */
  async #ensure({ from, to }) {
    try {
      await this.chat.ensure(from, to);
      this.error.value = null;
    } catch (error) {
      this.error.value = error;
    }
  }
}
