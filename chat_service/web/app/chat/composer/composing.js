/**
 * What is being written: a new message, a reply or an edit. It outlives the open chat, so that one comes back to
 * what one was doing, also after the session has ended and the page was loaded again.
 *
 * The text of a new message is the draft of the chat, which the client keeps. What is answered or changed, and the
 * text of an edit, are kept in the session storage of the tab; where the browser refuses that, in memory alone. Of
 * the other message only its place is kept: it may be deleted meanwhile, and then nothing of it shall remain.
 */

import { signal } from "@preact/signals";
import { client, me } from "../../state.js";

/**
 * @typedef {{id: string, seq: number, sender_id: number, sender_username: string}} Target
 * @typedef {{kind: "new", message?: null} | {kind: "reply", message: Target} | {kind: "edit", message: Target, text: string}} Mode
 */

const PREFIX = "chat.composing.";

/** @type {Map<string, Mode>} */
const modes = new Map();

// Whoever signs out leaves nothing behind; a session that has merely ended keeps what was typed.
client.on("signed-out", ({ reason }) => {
  if (reason !== "signed_out") return;
  modes.clear();
  withSessionStorage((storage) => {
    for (const key of Object.keys(storage)) if (key.startsWith(PREFIX)) storage.removeItem(key);
  });
});

export class Composing {
  /** @type {import("@preact/signals").Signal<Mode>} */
  mode;

  #chat;
  #key;

  constructor(chat) {
    this.#chat = chat;
    this.#key = `${PREFIX}${me.peek()?.id}.${chat.id}`;
    this.mode = signal(modes.get(this.#key) ?? restoreMode(this.#key) ?? { kind: "new" });
  }

  /** What the field shows when the mode begins. */
  get text() {
    const mode = this.mode.peek();
    return mode.kind === "edit" ? mode.text : this.#chat.draft;
  }

  /** Keeps what was typed. */
  setText(text) {
    const mode = this.mode.peek();
    if (mode.kind === "edit") {
      mode.text = text;
      saveMode(this.#key, mode);
    } else {
      this.#chat.setDraft(text);
    }
  }

  replyTo(message) {
    this.#setMode({ kind: "reply", message: targetOf(message) });
  }

  edit(message) {
    this.#setMode({ kind: "edit", message: targetOf(message), text: message.content });
  }

  /** Back to a new message, with the draft that was there before. */
  leave() {
    this.#setMode({ kind: "new" });
  }

  /** One's newest message that can be edited, of those that are loaded. */
  findLastOwn() {
    const { lastSeq } = this.#chat;
    for (let seq = lastSeq; seq > 0 && seq > lastSeq - 200; seq -= 1) {
      const message = this.#chat.message(seq);
      if (message?.sender_id === me.peek()?.id && !message.is_deleted) return message;
    }
    return null;
  }

  #setMode(mode) {
    modes.set(this.#key, mode);
    saveMode(this.#key, mode);
    this.mode.value = mode;
  }
}

/** @returns {Target} */
function targetOf({ id, seq, sender_id, sender_username }) {
  return { id, seq, sender_id, sender_username };
}

function restoreMode(key) {
  return withSessionStorage((storage) => JSON.parse(storage.getItem(key) ?? "null")) ?? null;
}

function saveMode(key, mode) {
  withSessionStorage((storage) => {
    if (mode.kind === "new") storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(mode));
  });
}

/** Where the browser refuses storage, the mode is kept in memory as long as the page lives. */
function withSessionStorage(use) {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}
