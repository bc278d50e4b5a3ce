/**
 * The loaded messages of one chat: by seq, in loaded ranges, bounded in number. What a loaded range does not hold
 * is hidden from the user.
 */

/** @import {StoredMessage} from "./types.js" */

/** Messages kept of a chat that is being looked at, and of one that is not. */
const KEPT_FOCUSED = 1_000;
const KEPT_IDLE = 50;
/** Originals of replies kept apart: more than a screen shows, however far they lie from each other. */
const KEPT_ORIGINALS = 200;

export class History {
  /** Counts how often all was forgotten, so that what was asked for before is not taken. */
  generation = 0;
  /** Requests under way: edits of what they may bring must be remembered meanwhile. */
  #loads = 0;
  /** @type {Map<number, StoredMessage>} */
  #messages = new Map();
  /** Loaded seqs as `[from, to]`, ascending, never touching. @type {Array<[number, number]>} */
  #ranges = [];
  /** Seqs that were hidden while the client listened. @type {Set<number>} */
  #hidden = new Set();
  /** Changes of messages that are not loaded, heard while something is loading. @type {Map<number, StoredMessage>} */
  #aside = new Map();
  /**
   * Messages that replies answer, outside of what is looked at; null where one is hidden. The oldest go first.
   * @type {Map<number, StoredMessage|null>}
   */
  #originals = new Map();
  #isFocused = false;
  /** The seq around which messages are kept; infinite for the newest. */
  #center = Infinity;

  /** @param {number} seq */
  get(seq) {
    return this.#messages.get(seq);
  }

  /** @param {number} seq */
  isLoaded(seq) {
    return this.#ranges.some(([from, to]) => from <= seq && seq <= to);
  }

  /** @param {number} seq */
  isHidden(seq) {
    return this.#hidden.has(seq) || (!this.#messages.has(seq) && this.isLoaded(seq));
  }

  /** A message wherever it is held, also apart from the ranges; null where it is hidden. @param {number} seq */
  findOriginal(seq) {
    return this.#messages.get(seq) ?? (this.isHidden(seq) ? null : this.#originals.get(seq));
  }

  /**
   * A message that was heard of. Returns whether it is shown.
   * @param {StoredMessage} message @param {boolean} isNew above all seqs known before
   * @param {boolean} [isVisible] false: what is heard of it is told to everybody, also to who has hidden it
   */
  take(message, isNew, isVisible = true) {
    const {seq, version} = message;
    const held = this.#messages.get(seq);
    const original = this.#originals.get(seq);
    if (held) {
      if (version <= held.version) return false;
    } else if (this.isHidden(seq)) {
      return false;
    } else if (!isNew && !(isVisible && (this.isLoaded(seq - 1) || this.isLoaded(seq + 1)))) {
      if (this.#loads && version > (this.#aside.get(seq)?.version ?? 0)) this.#aside.set(seq, message);
      if (!original || version <= original.version) return false;
      this.#originals.set(seq, message);
      return true;
    }
    this.#messages.set(seq, message);
    this.#cover(seq, seq);
    this.#trim();
    return true;
  }

  /** @param {number} seq */
  hide(seq) {
    this.#hidden.add(seq);
    this.#messages.delete(seq);
    if (this.#originals.has(seq)) this.#originals.set(seq, null);
  }

  /** The part of a range that is not loaded: from its first missing seq to its last. @param {number} from @param {number} to */
  findGap(from, to) {
    while (from <= to && this.isLoaded(from)) from++;
    while (to >= from && this.isLoaded(to)) to--;
    return from <= to ? {from, to} : null;
  }

  /**
   * Loads a range with `load`, and takes what it answers unless all was forgotten meanwhile.
   * @param {number} from @param {number} to @param {() => Promise<StoredMessage[]>} load ascending
   */
  load(from, to, load) {
    return this.#await(load, (items) => this.#mergeAll(from, to, items));
  }

  /**
   * Loads one message with `load`, and keeps it apart: what is looked at stays where it is.
   * @param {number} seq @param {() => Promise<StoredMessage[]>} load the first one from there on
   */
  loadOriginal(seq, load) {
    return this.#await(load, (items) => {
      const found = items.find((item) => item.seq === seq);
      this.#originals.set(seq, found && !this.#hidden.has(seq) ? this.#newestOf(found) : null);
      for (const oldest of this.#originals.keys()) {
        if (this.#originals.size <= KEPT_ORIGINALS) break;
        this.#originals.delete(oldest);
      }
    });
  }

  /** What is looked at, around which messages are kept. @param {number} from @param {number} to @param {number} lastSeq */
  focus(from, to, lastSeq) {
    this.#isFocused = true;
    this.#center = to >= lastSeq ? Infinity : (from + to) / 2;
  }

  /** Not looked at any more: only the newest few are kept. */
  blur() {
    this.#isFocused = false;
    this.#center = Infinity;
    this.#trim();
  }

  /** The newest message before a seq; undefined where it is not loaded, null where there is none. @param {number} seq */
  findBefore(seq) {
    for (seq--; seq >= 1; seq--) {
      const message = this.#messages.get(seq);
      if (message) return message;
      if (!this.isHidden(seq)) return undefined;
    }
    return null;
  }

  /** Up to `count` newest messages without a gap. @param {number} lastSeq @param {number} count */
  listNewest(lastSeq, count) {
    const newest = [];
    for (let seq = lastSeq; seq >= 1 && newest.length < count; seq--) {
      const message = this.#messages.get(seq);
      if (message) newest.push(message);
      else if (!this.isHidden(seq)) break;
    }
    return newest.reverse();
  }

  /** Takes what `listNewest` gave. @param {StoredMessage[]} newest @param {number} lastSeq */
  restore(newest, lastSeq) {
    for (const message of newest) this.#messages.set(message.seq, message);
    if (newest.length) this.#cover(newest[0].seq, lastSeq);
  }

  clear() {
    this.generation++;
    this.#messages.clear();
    this.#ranges = [];
    this.#hidden.clear();
    this.#aside.clear();
    this.#originals.clear();
  }

  /** @param {() => Promise<StoredMessage[]>} load @param {(items: StoredMessage[]) => void} take unless all was forgotten */
  async #await(load, take) {
    const {generation} = this;
    this.#loads++;
    try {
      const items = await load();
      if (generation === this.generation) take(items);
      return items;
    } finally {
      if (--this.#loads === 0) this.#aside.clear();
    }
  }

  /** @param {number} from @param {number} to @param {StoredMessage[]} items */
  #mergeAll(from, to, items) {
    for (const item of items) this.#merge(item);
    const start = Math.min(from, items[0]?.seq ?? from);
    const end = Math.max(to, items.at(-1)?.seq ?? to);
    if (start <= end) this.#cover(start, end);
    this.#trim();
  }

  /** @param {StoredMessage} item */
  #merge(item) {
    if (!this.#hidden.has(item.seq)) this.#messages.set(item.seq, this.#newestOf(item));
  }

  /** What was read, or what was heard of it since. @param {StoredMessage} item */
  #newestOf(item) {
    const {seq} = item;
    let newest = item;
    for (const other of [this.#messages.get(seq), this.#aside.get(seq), this.#originals.get(seq)]) {
      if (other && other.version > newest.version) newest = other;
    }
    return newest;
  }

  /** @param {number} from @param {number} to */
  #cover(from, to) {
    const last = this.#ranges.at(-1);
    if (last && from === last[1] + 1) {
      last[1] = to;
      return;
    }
    const apart = this.#ranges.filter(([start, end]) => end < from - 1 || start > to + 1);
    for (const [start, end] of this.#ranges) {
      if (end < from - 1 || start > to + 1) continue;
      from = Math.min(from, start);
      to = Math.max(to, end);
    }
    this.#ranges = [...apart, /** @type {[number, number]} */ ([from, to])].sort((a, b) => a[0] - b[0]);
  }

  /** Drops what is far from the centre, a quarter of the bound at a time. */
  #trim() {
    const bound = this.#isFocused ? KEPT_FOCUSED : KEPT_IDLE;
    if (this.#messages.size <= bound * 1.25) return;
    const seqs = [...this.#messages.keys()].sort((a, b) => a - b);
    const center = seqs.findLastIndex((seq) => seq <= this.#center);
    const start = Math.max(0, Math.min(center - bound / 2, seqs.length - bound));
    const first = seqs[start];
    const last = seqs[start + bound - 1];
    for (const seq of seqs) {
      if (seq < first || seq > last) this.#messages.delete(seq);
    }
    this.#ranges = this.#ranges
      .map(([from, to]) => /** @type {[number, number]} */ ([Math.max(from, first), Math.min(to, last)]))
      .filter(([from, to]) => from <= to);
  }
}
