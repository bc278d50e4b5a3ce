/** The people of one chat: who is in it, how far they have read, who types. */

/** @import {Participant, Position} from "./types.js" */

export class People {
  /** Those who have left too: their versions tell which news of them is old. @type {Map<number, Participant>|null} */
  #people = null;
  /** Positions of those who are not loaded. @type {Map<number, Position>} */
  #positions = new Map();
  /** @type {readonly Participant[]|null} */
  #present = null;
  /** Positions that all others have reached, and how many those are. @type {{read: number, delivered: number, count: number}|null} */
  #least = null;
  /** @type {readonly number[]} */
  #typing = [];
  /** What is heard while the list is being read: it may be newer than what is read. @type {Array<() => void>|null} */
  #heard = null;
  #myId;

  /** @param {number} myId */
  constructor(myId) {
    this.#myId = myId;
  }

  /** @returns {readonly Participant[]|null} */
  get present() {
    if (!this.#present && this.#people) {
      this.#present = [...this.#people.values()].filter((one) => one.left_at === null);
    }
    return this.#present;
  }

  get typing() {
    return this.#typing;
  }

  /** Takes everybody from the service. @param {() => Promise<Participant[]>} read */
  async load(read) {
    this.#heard = [];
    try {
      const people = new Map();
      for (const item of await read()) people.set(item.user_id, item);
      this.#people = people;
    } finally {
      const heard = this.#heard;
      this.#heard = null;
      for (const repeat of heard) repeat();
    }
    for (const position of this.#positions.values()) this.move(position.user_id, position);
    this.#changed();
  }

  /** @param {Participant} item @param {boolean} isNews */
  take(item, isNews) {
    this.#heard?.push(() => this.take(item, isNews));
    const held = this.#people?.get(item.user_id);
    if (!this.#people || (held ? item.version <= held.version : !isNews)) return;
    this.#people.set(item.user_id, item);
    if (held) this.move(item.user_id, held);
    this.#changed();
  }

  /** @param {number} userId @param {number} version */
  leave(userId, version) {
    this.setTyping(userId, false);
    this.#heard?.push(() => this.leave(userId, version));
    const held = this.#people?.get(userId);
    if (!held || version <= held.version) return;
    this.#people?.set(userId, {...held, left_at: new Date(0).toISOString(), version});
    this.#changed();
  }

  /** Positions only grow. @param {number} userId @param {{read_seq?: number, delivered_seq?: number}} position */
  move(userId, {read_seq = 0, delivered_seq = 0}) {
    this.#heard?.push(() => void this.move(userId, {read_seq, delivered_seq}));
    const held = this.#people?.get(userId) ?? this.#positions.get(userId);
    if (held && read_seq <= held.read_seq && delivered_seq <= held.delivered_seq) return false;
    const seqs = {
      read_seq: Math.max(read_seq, held?.read_seq ?? 0),
      delivered_seq: Math.max(delivered_seq, held?.delivered_seq ?? 0),
    };
    const person = this.#people?.get(userId);
    if (person) this.#people?.set(userId, {...person, ...seqs});
    else this.#positions.set(userId, {user_id: userId, ...seqs});
    this.#changed();
    return true;
  }

  /**
   * @param {number} seq of a message of one's own
   * @param {number} others how many people must have it, where the list is not loaded
   * @returns {"sent"|"delivered"|"read"}
   */
  status(seq, others) {
    this.#least ??= this.#findLeast();
    if (!this.#people && this.#least.count < others) return "sent";
    if (seq <= this.#least.read) return "read";
    return seq <= this.#least.delivered ? "delivered" : "sent";
  }

  /** @param {number} seq @param {number} senderId @returns {Participant[]} */
  listReaders(seq, senderId) {
    return (this.present ?? []).filter(
      (one) => one.read_seq >= seq && one.user_id !== this.#myId && one.user_id !== senderId,
    );
  }

  /** @param {number} userId @param {boolean} isTyping @returns {boolean} whether that is new */
  setTyping(userId, isTyping) {
    if (userId === this.#myId || this.#typing.includes(userId) === isTyping) return false;
    this.#typing = isTyping ? [...this.#typing, userId] : this.#typing.filter((id) => id !== userId);
    return true;
  }

  clearTyping() {
    const was = this.#typing.length > 0;
    this.#typing = [];
    return was;
  }

  #findLeast() {
    const others = [...(this.present ?? this.#positions.values())].filter((one) => one.user_id !== this.#myId);
    if (!others.length) return {read: 0, delivered: 0, count: 0};
    return {
      count: others.length,
      read: Math.min(...others.map((one) => one.read_seq)),
      delivered: Math.min(...others.map((one) => Math.max(one.read_seq, one.delivered_seq))),
    };
  }

  #changed() {
    this.#present = null;
    this.#least = null;
  }
}
