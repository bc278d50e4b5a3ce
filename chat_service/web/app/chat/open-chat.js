/**
 * One chat while it is open: what its header, history and composer share. It lives from the moment the reader
 * opens the chat until they leave it; where they were and what they were writing outlives it.
 */

import { effect, signal, untracked } from "@preact/signals";
import { lazyDialog } from "../lazy.js";
import { chatRevision, client, connection, me, route } from "../state.js";
import { dayNumber } from "../time.js";
import { openMenu } from "../ui/index.js";
import { isWide } from "../window-size.js";
import { Actions } from "./actions.js";
import { Announcer } from "./announcer.js";
import { Composing } from "./composer/composing.js";
import { atEnd, atRow } from "./history/anchor.js";
import { HistoryView } from "./history/view.js";
import { People } from "./people.js";
import { isAttentive, Reading } from "./reading.js";

const openDateDialog = lazyDialog(() => import("./dialogs/date-dialog.js"), "DateDialog");
const openReadersDialog = lazyDialog(() => import("./dialogs/readers-dialog.js"), "ReadersDialog");
const openRevisionsDialog = lazyDialog(() => import("./dialogs/revisions-dialog.js"), "RevisionsDialog");

/** Where the reader was in chats that they left for another one. @type {Map<number, import("./history/anchor.js").Anchor>} */
const places = new Map();
client.on("signed-out", () => places.clear());

/** The unread line is put here when a chat opens, so that some of what was read is seen above it. */
const UNREAD_OFFSET_PX = 120;

/** When the reader may have turned to the chat, or away from it. @type {[EventTarget, string][]} */
const ATTENTION_CHANGES = [[window, "focus"], [window, "blur"], [document, "visibilitychange"]];

export class OpenChat {
  /** The row that the mouse is over, or that the keyboard is on. */
  active = signal(/** @type {number | null} */ (null));
  /** The row that has, or had last, the focus. */
  current = signal(/** @type {number | null} */ (null));
  /** The row that gets the focus as soon as it is drawn. @type {number | null} */
  focusWanted = null;
  #readerId = me.peek()?.id;
  /** Ids of messages whose long text was opened. */
  #openedTexts = new Set();
  #ends = [];

  /** @param {any} chat */
  constructor(chat) {
    this.chat = chat;
    this.people = new People(chat);
    this.reading = new Reading(chat, isSeen);
    this.composing = new Composing(chat);
    this.actions = new Actions(this);
    this.announcer = new Announcer(this.people);
    this.view = new HistoryView(chat, me.peek()?.id ?? 0, dayNumber, {
      anchor: this.#firstPlace(),
      firstUnseen: () => (isSeen() ? null : this.reading.unreadFrom.peek()),
      onSeen: (index) => this.reading.see(index, this.view.rows),
    });
  }

  start() {
    const { chat } = this;
    this.#ends = [
      effect(() => {
        chatRevision(chat.id).value;
        untracked(() => this.#follow());
      }),
      effect(() => {
        connection.value; // without one they could not be read
        if (chat.type === "group" && chat.participants === null) chat.loadParticipants().catch(() => {});
      }),
      effect(() => {
        isCovered();
        untracked(this.look);
      }),
      client.on("message", ({ chat: where, message }) => where === chat && this.announcer.add(message)),
    ];
    for (const [target, type] of ATTENTION_CHANGES) {
      target.addEventListener(type, this.look);
      this.#ends.push(() => target.removeEventListener(type, this.look));
    }
  }

  /** The reader may have turned to the chat, or away from it. */
  look = () => {
    this.#follow();
    this.reading.see(this.view.lastInView, this.view.rows);
  };

  stop() {
    for (const end of this.#ends) end();
    this.announcer.stop();
    this.chat.setTyping(false);
    // It may have stopped because they signed out, and the next person does not stand where they stood.
    if (me.peek()?.id === this.#readerId) places.set(this.chat.id, this.view.anchor);
  }

  /** Shows the whole of a long text, which goes on where the reader is. */
  openText(message) {
    this.#openedTexts.add(idOf(message));
    this.view.hold();
  }

  isTextOpened(message) {
    return this.#openedTexts.has(idOf(message));
  }

  /** Puts a message into the queue and follows it down. */
  send(content, replyTo) {
    this.chat.send(content, { replyTo });
    this.reading.clear();
    this.view.goToEnd();
  }

  /** To a message, which is loaded if need be, and shown for a moment in another colour. */
  goToMessage(seq) {
    this.goTo(seq, { highlight: true });
  }

  askForDate = () => {
    openDateDialog({ chat: this.chat, onFound: (seq) => this.goTo(seq, { align: "start", highlight: true }) });
  };

  /** Shows a row and gives it the focus. @param {number} index @param {Parameters<HistoryView["goTo"]>[1]} options */
  goTo(index, options) {
    this.current.value = index;
    this.focusWanted = index;
    this.view.goTo(index, options);
  }

  showRevisions(message) {
    openRevisionsDialog({ chat: this.chat, message });
  }

  showReaders(message) {
    openReadersDialog({ chat: this.chat, message });
  }

  /** @param {number} index @param {Element | {x: number, y: number}} anchor */
  openMenu(index, anchor) {
    const message = this.view.rows.messageAt(index);
    const items = message === null ? [] : this.actions.list(message);
    if (items.length > 0) openMenu({ anchor, items, label: this.actions.menuLabel });
  }

  #follow() {
    this.reading.follow(this.view.isNearEnd.peek());
  }

  #firstPlace() {
    const { chat } = this;
    const place = places.get(chat.id);
    if (place?.edge === "row" && place.index <= chat.lastSeq) return place;
    const unreadFrom = this.reading.unreadFrom.peek();
    return unreadFrom === null ? atEnd() : atRow(unreadFrom, UNREAD_OFFSET_PX);
  }
}

/** Whether somebody can be looking at the chat. */
function isSeen() {
  return isAttentive() && !isCovered();
}

/** On a narrow window the details lie over the chat. */
function isCovered() {
  return !isWide.value && route.value.name === "chat" && route.value.details;
}

function idOf(message) {
  return message.id ?? message.client_message_id;
}
