/**
 * What each row of a chat shows: its message, the day or the unread line above it, and its place in a group of
 * messages that somebody wrote one after the other.
 *
 * @typedef {{
 *   index: number, key: string, message: any | null, isOwn: boolean,
 *   day: string | null, isUnreadStart: boolean, startsGroup: boolean, endsGroup: boolean,
 * }} Row `message` is null while it is not loaded; `day` is the time of the first message of a day
 */

const GROUP_PAUSE_MS = 5 * 60_000;
const FARTHEST_LOOK = 200;

export class Rows {
  #days = new WeakMap();

  /**
   * @param {any} chat
   * @param {number} myId
   * @param {(timestamp: string) => number} dayNumber equal for times of the same calendar day
   */
  constructor(chat, myId, dayNumber) {
    this.chat = chat;
    this.myId = myId;
    this.dayNumber = dayNumber;
  }

  get count() {
    return this.chat.lastSeq + this.chat.pending.length;
  }

  isHidden(index) {
    return index <= this.chat.lastSeq && this.chat.isHidden(index);
  }

  isKnown(index) {
    return this.isHidden(index) || this.messageAt(index) !== null;
  }

  messageAt(index) {
    const { chat } = this;
    return (index <= chat.lastSeq ? chat.message(index) : chat.pending[index - chat.lastSeq - 1]) ?? null;
  }

  /** One's own message keeps its key when it is acknowledged, and so its element, focus and height. */
  keyAt(index) {
    const message = this.messageAt(index);
    if (message?.sender_id === this.myId && message.client_message_id) return `own-${message.client_message_id}`;
    return `seq-${index}`;
  }

  /**
   * @param {number} index
   * @param {number | null} unreadFrom the seq above which the unread line stands
   * @returns {Row | null} null for a message that is hidden from the reader
   */
  describe(index, unreadFrom) {
    if (this.isHidden(index)) return null;
    const message = this.messageAt(index);
    const before = this.#neighbour(index, -1);
    const after = this.#neighbour(index, 1);
    const isUnreadStart = startsUnread(index, before, unreadFrom);
    const previous = before === 0 ? null : this.messageAt(before);
    const next = after === 0 ? null : this.messageAt(after);
    const startsDay = message !== null && (before === 0 || (previous !== null && !this.#sameDay(previous, message)));
    return {
      index,
      key: this.keyAt(index),
      message,
      isOwn: message?.sender_id === this.myId,
      day: startsDay ? message.timestamp : null,
      isUnreadStart,
      startsGroup: isUnreadStart || !this.#belongTogether(previous, message),
      endsGroup: startsUnread(after, index, unreadFrom) || !this.#belongTogether(message, next),
    };
  }

  /** The nearest row on that side which the reader may see, 0 where there is none. */
  #neighbour(index, direction) {
    let at = index + direction;
    for (let looked = 0; looked < FARTHEST_LOOK && at >= 1 && at <= this.count; looked += 1) {
      if (!this.isHidden(at)) return at;
      at += direction;
    }
    return 0;
  }

  #belongTogether(earlier, later) {
    if (earlier === null || later === null || earlier.sender_id !== later.sender_id) return false;
    if (Date.parse(later.timestamp) - Date.parse(earlier.timestamp) > GROUP_PAUSE_MS) return false;
    return this.#sameDay(earlier, later);
  }

  #sameDay(some, other) {
    return this.#dayOf(some) === this.#dayOf(other);
  }

  #dayOf(message) {
    let day = this.#days.get(message);
    if (day === undefined) {
      day = this.dayNumber(message.timestamp);
      this.#days.set(message, day);
    }
    return day;
  }
}

function startsUnread(index, before, unreadFrom) {
  return unreadFrom !== null && index >= unreadFrom && before < unreadFrom;
}
