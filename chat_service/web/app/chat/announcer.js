/**
 * Tells screen readers of messages that arrive while the chat is open. The history itself is silent, because
 * its rows come and go with every scroll; a short list that nobody sees speaks in its place, and sums up when
 * many arrive at once.
 */

import { signal } from "@preact/signals";
import { t } from "../i18n.js";
import { summarise } from "./markup/summary.js";

const GATHER_MS = 1_200;
const MOST_AT_ONCE = 3;
const KEPT_LINES = 6;

export class Announcer {
  /** The last sentences, oldest first. */
  lines = signal(/** @type {{id: number, text: string}[]} */ ([]));

  #people;
  #waiting = [];
  #timer = 0;
  #lastId = 0;

  constructor(people) {
    this.#people = people;
  }

  /** A message of somebody else came in. */
  add(message) {
    this.#waiting.push(message);
    if (this.#timer === 0) this.#timer = setTimeout(() => this.#speak(), GATHER_MS);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #speak() {
    this.#timer = 0;
    const messages = this.#waiting;
    this.#waiting = [];
    const sentences =
      messages.length > MOST_AT_ONCE
        ? [t("chat.announce.many", { count: messages.length })]
        : messages.map((message) => this.#sentence(message));
    const added = sentences.map((text) => ({ id: (this.#lastId += 1), text }));
    this.lines.value = [...this.lines.peek(), ...added].slice(-KEPT_LINES);
  }

  #sentence(message) {
    const name = this.#people.nameOf(message.sender_id, message.sender_username);
    const text = message.is_deleted ? t("chat.deletedMessage") : summarise(message.content);
    return t("chat.announce.one", { name, text });
  }
}
