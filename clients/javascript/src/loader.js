/** Reads pages of one chat's messages: what is missing in a range, what was said at a time, what is the newest. */

import {ChatError} from "./errors.js";

/** @import {Account} from "./account.js" */
/** @import {Chat} from "./chat.js" */
/** @import {StoredMessage} from "./types.js" */

/** @typedef {Record<string, string|number>} Query */

const PAGE = 100;

export class Loader {
  /** Blocks of 100 seqs that are being read. @type {Map<number, Promise<unknown>>} */
  #loading = new Map();
  /** Originals that are being read. @type {Map<number, Promise<unknown>>} */
  #originals = new Map();
  #account;
  #chat;
  #history;

  /** @param {Account} account @param {Chat} chat */
  constructor(account, chat) {
    this.#account = account;
    this.#chat = chat;
    this.#history = chat.history;
  }

  /** Loads what is missing in a range, which is being looked at. @param {number} fromSeq @param {number} toSeq @returns {Promise<void>} */
  async ensure(fromSeq, toSeq) {
    const {lastSeq} = this.#chat;
    const from = Math.max(1, fromSeq);
    const to = Math.min(lastSeq, toSeq);
    if (from > to) return;
    const {generation} = this.#history;
    this.#account.focus(this.#chat);
    this.#history.focus(from, to, lastSeq);
    const blocks = [];
    for (let block = Math.floor((from - 1) / PAGE); block * PAGE < to; block++) blocks.push(block);
    await Promise.all(blocks.map((block) => this.#loadBlock(block)));
    if (generation !== this.#history.generation) await this.ensure(fromSeq, toSeq);
  }

  /** Loads one message from anywhere, without looking there. @param {number} seq @returns {Promise<unknown>} */
  loadOriginal(seq) {
    if (this.#history.findOriginal(seq) !== undefined) return Promise.resolve();
    let load = this.#originals.get(seq);
    if (!load) {
      load = this.#history.loadOriginal(seq, () => this.#read({after: seq - 1, limit: 1}))
        .then(() => this.#chat.changed("messages"))
        .finally(() => this.#originals.delete(seq));
      this.#originals.set(seq, load);
    }
    return load;
  }

  /** The seq of the first message at or after a time; of the newest one where all are older. @param {Date} date */
  async seqAt(date) {
    const items = await this.#loadAround({at: date.toISOString(), limit: PAGE});
    const found = items.find((item) => Date.parse(item.timestamp) >= date.getTime()) ?? items.at(-1);
    return found?.seq ?? this.#chat.lastSeq;
  }

  /** @returns {Promise<StoredMessage|undefined>} */
  async findNewest() {
    return (await this.#loadAround({limit: 10})).at(-1);
  }

  /** @param {number} block @returns {Promise<unknown>} */
  #loadBlock(block) {
    const loading = this.#loading.get(block);
    if (loading) return loading.then(() => this.#loadBlock(block));
    const first = block * PAGE + 1;
    const gap = this.#history.findGap(first, Math.min(first + PAGE - 1, this.#chat.lastSeq));
    if (!gap) return Promise.resolve();
    const load = this.#load(gap.from, gap.to, {after: gap.from - 1, limit: gap.to - gap.from + 1})
      .finally(() => this.#loading.delete(block));
    this.#loading.set(block, load);
    return load;
  }

  /** Loads a page whose place is not known before. @param {Query} query */
  #loadAround(query) {
    return this.#load(Infinity, -Infinity, query);
  }

  /** @param {number} from @param {number} to @param {Query} query */
  async #load(from, to, query) {
    const items = await this.#history.load(from, to, () => this.#read(query));
    this.#chat.changed("messages");
    return items;
  }

  /** @param {Query} query @returns {Promise<StoredMessage[]>} */
  async #read(query) {
    const {generation} = this.#history;
    const page = await this.#account.request("GET", `/messages/chat/${this.#chat.id}`, {query});
    // What was forgotten meanwhile is asked for again by `ensure`.
    if (generation === this.#history.generation) {
      if (page.epoch !== this.#account.epoch) throw new ChatError("resync_required");
      this.#chat.takePage(page.items);
    }
    return page.items;
  }
}
