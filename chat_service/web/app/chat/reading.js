/**
 * How far the reader has read: moves the read position with what is really seen, and keeps the unread line
 * where they stopped.
 */

import { signal } from "@preact/signals";

/** Whether somebody can be looking at the page. */
export function isAttentive() {
  return document.visibilityState === "visible" && document.hasFocus();
}

export class Reading {
  /** The first seq below the unread line; null where there is no line. */
  unreadFrom = signal(/** @type {number | null} */ (null));

  #chat;
  #isCaughtUp;
  #isAttentive;

  /**
   * @param {any} chat
   * @param {() => boolean} attentive whether somebody can be looking at the chat
   */
  constructor(chat, attentive) {
    this.#chat = chat;
    this.#isAttentive = attentive;
    this.#isCaughtUp = chat.unread === 0;
    this.unreadFrom.value = firstUnread(chat);
  }

  /**
   * The chat has changed, or the reader came or went. What arrives unseen after all had been read gets the
   * line; what arrives under the reader's eyes does not.
   *
   * @param {boolean} isNearEnd whether the newest messages are in view
   */
  follow(isNearEnd) {
    const hasUnread = this.#chat.unread > 0;
    if (isNearEnd && this.#isAttentive()) {
      this.#isCaughtUp = true;
    } else if (hasUnread && this.#isCaughtUp) {
      this.unreadFrom.value = firstUnread(this.#chat);
      this.#isCaughtUp = false;
    } else {
      this.#isCaughtUp = !hasUnread;
    }
  }

  /**
   * Everything up to this row was in view.
   *
   * @param {number} index
   * @param {{isKnown(index: number): boolean, isHidden(index: number): boolean}} rows
   */
  see(index, rows) {
    if (!this.#isAttentive()) return;
    const { lastSeq, readSeq } = this.#chat;
    let seq = Math.min(index, lastSeq);
    while (seq > readSeq && !rows.isKnown(seq)) seq -= 1;
    while (seq < lastSeq && rows.isHidden(seq + 1)) seq += 1;
    if (seq > readSeq) this.#chat.markRead(seq);
  }

  /** Whoever writes has read. */
  clear() {
    this.unreadFrom.value = null;
    this.#isCaughtUp = true;
  }
}

function firstUnread(chat) {
  return chat.unread === 0 ? null : chat.lastSeq - chat.unread + 1;
}
