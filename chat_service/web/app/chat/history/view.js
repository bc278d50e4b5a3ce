/**
 * The scrolling view of a chat's history: which rows are drawn, how far it is scrolled, what must be loaded.
 *
 * It owns three elements: the one that scrolls, the track as tall as all rows together, and the strip of the
 * few rows that are drawn. A component draws what `draw` names and then calls `settle`, which measures the rows
 * and puts everything in its place before the browser paints; so nothing ever jumps.
 */

import { signal } from "@preact/signals";
import { anchorFrom, atEnd, atRow, NEAR_END_PX, rowsAround, scrollTopFor } from "./anchor.js";
import { Loader } from "./loader.js";
import { Rows } from "./rows.js";
import { Track } from "./track.js";

/** Drawn beyond either edge, so that scrolling finds rows ready; less than a part of it asks for more. */
const DRAWN_BEYOND_PX = 700;
const NEEDED_BEYOND_PX = 250;
const MOST_ROWS = 100;

/** Below the sticky day, which would cover it. */
const UPPER_MARGIN_PX = 56;

/** Where the sticky day ends, and how far a day line can be scrolled out and still be read. */
const STICKY_DAY_PX = 32;
const DAY_LINE_PX = 24;

/** A row counts as seen when this much of it is. */
const SEEN_PX = 24;

const HIGHLIGHT_MS = 2_000;
const MOVING_MS = 1_500;

export class HistoryView {
  /** Grows when the rows must be drawn again for a reason that lies in the view. */
  revision = signal(0);
  /** Whether the newest rows are in view, or nearly. */
  isNearEnd = signal(true);
  /** The time of the first message in view, for the sticky day; null while its own day line is seen. */
  stickyDay = signal(/** @type {string | null} */ (null));
  /** Whether it scrolls, or did a moment ago. */
  isMoving = signal(false);
  /** The row that a jump led to. */
  highlighted = signal(/** @type {number | null} */ (null));

  #scroller = null;
  #track = null;
  #strip = null;
  #observer = new ResizeObserver((entries) => this.#onResize(entries));
  #heights = new Track();
  #drawn = { from: 1, to: 0 };
  #view = 0;
  #placedAt = 0;
  #highlightTimer = 0;
  #movingTimer = 0;

  /**
   * @param {any} chat
   * @param {number} myId
   * @param {(timestamp: string) => number} dayNumber
   * @param {{anchor?: import("./anchor.js").Anchor, onSeen: (index: number) => void, firstUnseen: () => number | null}}
   *   options `onSeen` is told the newest row in view whenever that may have changed; `firstUnseen` is the row that
   *   shall not scroll out while nobody looks, null while somebody does
   */
  constructor(chat, myId, dayNumber, { anchor = atEnd(), onSeen, firstUnseen }) {
    this.chat = chat;
    this.rows = new Rows(chat, myId, dayNumber);
    this.loader = new Loader(chat);
    this.anchor = anchor;
    this.onSeen = onSeen;
    this.firstUnseen = firstUnseen;
  }

  attach(scroller, track, strip) {
    this.#scroller = scroller;
    this.#track = track;
    this.#strip = strip;
    this.#observer.observe(scroller);
    scroller.addEventListener("scroll", this.#onScroll, { passive: true });
    this.settle();
  }

  detach() {
    this.#observer.disconnect();
    this.#scroller.removeEventListener("scroll", this.#onScroll);
    this.#scroller = null;
    this.loader.stop();
    clearTimeout(this.#highlightTimer);
    clearTimeout(this.#movingTimer);
  }

  /** Rows tell when they come and go, so that a change of their height is seen. */
  observe(element) {
    this.#observer.observe(element);
  }

  unobserve(element) {
    this.#observer.unobserve(element);
  }

  /**
   * The rows to draw now, from what the chat holds now.
   *
   * @param {number | null} unreadFrom
   */
  draw(unreadFrom) {
    this.#notice();
    this.#takeOver();
    this.#drawn = this.#rowsWithin(DRAWN_BEYOND_PX);
    const rows = [];
    for (let index = this.#drawn.from; index <= this.#drawn.to; index += 1) {
      const row = this.rows.describe(index, unreadFrom);
      if (row !== null) rows.push(row);
    }
    return rows;
  }

  /** Measures what has been drawn, puts it in its place, and asks for what is missing. */
  settle() {
    this.#notice();
    if (this.#view === 0) return;
    this.#measure();
    this.#place();
    this.#report();
    if (!this.#isCovered()) this.revision.value += 1;
    this.loader.load(this.#heights, this.#placedAt, this.#view);
  }

  /** The network is back, or the reader asks: loads what could not be loaded. */
  retry() {
    this.loader.retry();
    this.revision.value += 1;
  }

  /** Shows the newest messages, and follows them from now on. */
  goToEnd() {
    this.anchor = atEnd();
    this.revision.value += 1;
  }

  /** Holds on to the uppermost row in view, also at the end: for when rows below it are about to grow. */
  hold() {
    const first = this.#heights.indexAt(this.#placedAt);
    this.anchor = atRow(first, this.#heights.offsetOf(first) - this.#placedAt);
  }

  /**
   * Shows a row, even if it is not loaded yet.
   *
   * @param {number} index
   * @param {{align?: "start" | "center" | "nearest", highlight?: boolean}} [options]
   */
  goTo(index, { align = "center", highlight = false } = {}) {
    const target = Math.min(Math.max(1, index), this.#heights.count);
    const height = this.#heights.heightOf(target);
    const top = this.#heights.offsetOf(target) - this.#placedAt;
    const lowest = this.#view - height;
    const offsets = {
      start: 0,
      center: Math.max(UPPER_MARGIN_PX, lowest / 2),
      nearest: Math.max(UPPER_MARGIN_PX, Math.min(top, lowest)),
    };
    if (align !== "nearest" || top < UPPER_MARGIN_PX || top > lowest) this.anchor = atRow(target, offsets[align]);
    if (highlight) this.#highlight(target);
    this.revision.value += 1;
  }

  /** The element of a row, if it is drawn. */
  elementOf(index) {
    return this.#strip?.querySelector(`[data-index="${index}"]`) ?? null;
  }

  isDrawn(index) {
    return index >= this.#drawn.from && index <= this.#drawn.to;
  }

  /** The nearest row that can be seen, before (-1) or after (1) this one; the same where there is none. */
  nextTo(index, direction) {
    return this.#heights.step(index, direction);
  }

  /** The newest row in view. */
  get lastInView() {
    return this.#heights.indexAt(this.#placedAt + this.#view - SEEN_PX);
  }

  get count() {
    return this.#heights.count;
  }

  /** What the reader and the window have done since the rows were placed, by the heights that were seen. */
  #notice() {
    if (this.#scroller === null) return;
    const { clientHeight, scrollTop } = this.#scroller;
    if (clientHeight !== this.#view) {
      // Where the end was in view it stays there, also when a keyboard opens on the screen.
      if (this.#view > 0 && this.isNearEnd.peek()) this.anchor = atEnd(this.#gap);
      this.#view = clientHeight;
    } else if (Math.abs(scrollTop - this.#placedAt) >= 1) {
      this.#placedAt = scrollTop;
      this.anchor = anchorFrom(this.#heights, scrollTop, this.#view, (index) => this.rows.isKnown(index));
    }
  }

  /** What the chat holds now. */
  #takeOver() {
    const { chat } = this;
    const count = this.#heights.count;
    const keyOf = (seq) => chat.message(seq)?.client_message_id ?? null;
    this.#heights.sync(chat.lastSeq, chat.pending.map((message) => message.client_message_id), keyOf);
    const isFirstTime = count === 0;
    if (isFirstTime || this.#heights.count <= count || !this.isNearEnd.peek()) return;
    const focused = this.#focusedIndex();
    // Whoever reads by keyboard keeps the message that has the focus.
    if (focused !== null && focused < count && this.isDrawn(focused)) this.hold();
    else this.#follow();
  }

  /** To the newest, but not past what arrives while nobody looks. */
  #follow() {
    const unseen = this.firstUnseen();
    const top = Math.max(0, this.#heights.total - this.#view);
    const leaves = unseen !== null && this.#heights.offsetOf(unseen) - top < UPPER_MARGIN_PX;
    this.anchor = leaves ? atRow(unseen, UPPER_MARGIN_PX) : atEnd();
  }

  /** Pixels between the lower edge of the view and the end. */
  get #gap() {
    return Math.max(0, this.#heights.total - this.#view - this.#placedAt);
  }

  #focusedIndex() {
    const row = /** @type {HTMLElement | null} */ (document.activeElement?.closest("[data-index]"));
    return row && this.#strip?.contains(row) && row.matches(":focus-visible") ? Number(row.dataset.index) : null;
  }

  /** The rows around the anchor; hidden ones lose their height on the way, which makes room for others. */
  #rowsWithin(beyond) {
    const view = this.#view || globalThis.innerHeight;
    for (;;) {
      const top = scrollTopFor(this.#heights, this.anchor, view);
      const around = rowsAround(this.#heights, top, view, beyond, MOST_ROWS);
      let changed = false;
      for (let index = around.from; index <= around.to; index += 1) {
        if (this.rows.isHidden(index)) changed = this.#heights.setHeight(index, 0) !== 0 || changed;
      }
      if (!changed) return around;
    }
  }

  /** Rows are measured when they are drawn; this is for those that change later, and for the window. */
  #onResize(entries) {
    const isNews = entries.some(({ target, borderBoxSize }) => {
      if (target === this.#scroller) return true;
      return Math.abs(borderBoxSize[0].blockSize - this.#heights.heightOf(Number(target.dataset.index))) > 0.01;
    });
    if (isNews) this.settle();
  }

  #measure() {
    for (const element of this.#strip.children) {
      const index = Number(element.dataset.index);
      if (index <= this.#heights.count) this.#heights.setHeight(index, element.getBoundingClientRect().height);
    }
  }

  #place() {
    const top = scrollTopFor(this.#heights, this.anchor, this.#view);
    this.#track.style.blockSize = `${this.#heights.total}px`;
    this.#strip.style.insetBlockStart = `${this.#heights.offsetOf(this.#drawn.from)}px`;
    if (Math.abs(this.#scroller.scrollTop - top) >= 1) this.#scroller.scrollTop = top;
    this.#placedAt = this.#scroller.scrollTop;
  }

  #onScroll = () => {
    const before = this.#placedAt;
    this.#notice();
    const moved = Math.abs(this.#placedAt - before);
    if (moved === 0) return;
    this.#showMoving();
    this.#report();
    if (!this.#isCovered()) this.revision.value += 1;
    this.loader.load(this.#heights, this.#placedAt, this.#view, { later: moved > this.#view });
  };

  #showMoving() {
    this.isMoving.value = true;
    clearTimeout(this.#movingTimer);
    this.#movingTimer = setTimeout(() => {
      this.isMoving.value = false;
    }, MOVING_MS);
  }

  /** Whether the drawn rows reach far enough beyond the view. */
  #isCovered() {
    const needed = this.#rowsWithin(NEEDED_BEYOND_PX);
    return needed.from >= this.#drawn.from && needed.to <= this.#drawn.to;
  }

  #report() {
    this.isNearEnd.value = this.#gap <= NEAR_END_PX;
    this.stickyDay.value = this.#findStickyDay();
    this.onSeen(this.lastInView);
  }

  /** The day of what is below the label; none where that row brings its own. */
  #findStickyDay() {
    const index = this.#heights.indexAt(this.#placedAt + STICKY_DAY_PX);
    const row = index === 0 ? null : this.rows.describe(index, null);
    if (!row?.message) return null;
    const isSeen = row.day !== null && this.#placedAt - this.#heights.offsetOf(index) < DAY_LINE_PX;
    return isSeen ? null : row.message.timestamp;
  }

  #highlight(index) {
    this.highlighted.value = index;
    clearTimeout(this.#highlightTimer);
    this.#highlightTimer = setTimeout(() => {
      this.highlighted.value = null;
    }, HIGHLIGHT_MS);
  }
}
