/** What is being typed, by chat. Written to storage at once; what is typed during a write is written after it. */

/** @import {Account} from "./account.js" */

export class Drafts {
  /** @type {Map<number, string>} */
  #texts = new Map();
  /** @type {Set<number>} */
  #unsaved = new Set();
  /** @type {Promise<void>|null} */
  #writing = null;
  #account;
  #prefix;

  /** @param {Account} account */
  constructor(account) {
    this.#account = account;
    this.#prefix = `${account.textPrefix}draft/`;
  }

  async load() {
    for (const [key, text] of await this.#account.storage.list(this.#prefix)) {
      this.#texts.set(Number(key.slice(this.#prefix.length)), text);
    }
  }

  /** @param {number} chatId */
  get(chatId) {
    return this.#texts.get(chatId) ?? "";
  }

  /** @param {number} chatId @param {string} text */
  save(chatId, text) {
    this.#texts.set(chatId, text);
    this.#unsaved.add(chatId);
    void this.flush();
  }

  /** Another tab has written it. @param {number} chatId @param {string} text */
  take(chatId, text) {
    if (this.#unsaved.has(chatId)) return;
    this.#texts.set(chatId, text);
    this.#account.chats.get(chatId)?.takeDraft(text);
  }

  /** Ends when all is written. */
  flush() {
    this.#writing ??= this.#write().finally(() => { this.#writing = null; });
    return this.#writing;
  }

  async #write() {
    const {storage, tabs, me} = this.#account;
    for (const chatId of this.#unsaved) {
      // A set gives also what is added while it is walked through.
      this.#unsaved.delete(chatId);
      if (this.#account.isForgotten) continue;
      const text = this.#texts.get(chatId);
      const key = this.#prefix + chatId;
      await (text ? storage.set(key, text) : storage.delete(key));
      tabs.post({type: "draft", userId: me.id, chatId, text: text ?? ""});
    }
  }
}
