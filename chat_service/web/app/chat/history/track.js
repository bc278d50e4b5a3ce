/**
 * The rows of a chat as one long track: first its messages by seq, then those that are still being sent.
 *
 * A row is named by its index, which for a message is its seq. Heights are guesses until a row has been
 * measured; a message that is acknowledged takes the height of its pending row along, so that nothing moves.
 */

import { Heights } from "./heights.js";

const USUAL_PX = 64;

// Browsers stop laying out somewhere above 17 million pixels. Where the usual height would come near that,
// rows that nobody has seen yet are taken for lower ones; they grow when they are measured.
const TALLEST_PX = 8_000_000;

export class Track {
  #heights = new Heights();
  #lastSeq = 0;
  /** @type {string[]} keys of the pending rows */
  #pending = [];
  #guess = USUAL_PX;

  get count() {
    return this.#heights.count;
  }

  get lastSeq() {
    return this.#lastSeq;
  }

  get total() {
    return this.#heights.total;
  }

  heightOf(index) {
    return this.#heights.heightOf(index);
  }

  offsetOf(index) {
    return this.#heights.offsetOf(index);
  }

  indexAt(offset) {
    return this.#heights.indexAt(offset);
  }

  /** @returns {number} by how much the row has grown */
  setHeight(index, height) {
    return this.#heights.set(index, height);
  }

  /**
   * Takes over what the chat holds now.
   *
   * @param {number} lastSeq never smaller than before, unless the chat was read afresh
   * @param {string[]} pending keys of what is being sent, oldest first
   * @param {(seq: number) => string | null} keyOf the key that a new message had while it was pending
   */
  sync(lastSeq, pending, keyOf) {
    if (lastSeq === this.#lastSeq && sameKeys(pending, this.#pending)) return;
    const known = this.#pendingHeights();
    if (lastSeq < this.#lastSeq || this.#lastSeq === 0) {
      this.#guess = Math.min(USUAL_PX, TALLEST_PX / Math.max(1, lastSeq));
    }
    this.#heights.truncate(Math.min(lastSeq, this.#lastSeq));
    while (this.#heights.count < lastSeq) {
      const key = known.size === 0 ? null : keyOf(this.#heights.count + 1);
      this.#heights.append(known.get(key) ?? this.#guess);
    }
    for (const key of pending) this.#heights.append(known.get(key) ?? USUAL_PX);
    this.#lastSeq = lastSeq;
    this.#pending = pending;
  }

  /** The index `rows` visible rows before (negative) or after `index`, or the first or last of all. */
  step(index, rows) {
    const direction = Math.sign(rows);
    let at = index;
    for (let left = Math.abs(rows); left > 0; ) {
      const next = at + direction;
      if (next < 1 || next > this.count) break;
      at = next;
      if (this.heightOf(at) > 0) left -= 1;
    }
    return at;
  }

  #pendingHeights() {
    const known = new Map();
    this.#pending.forEach((key, at) => known.set(key, this.heightOf(this.#lastSeq + 1 + at)));
    return known;
  }
}

function sameKeys(some, others) {
  return some.length === others.length && some.every((key, at) => key === others[at]);
}
