/** The history of a chat on screen: its rows, the sticky day, the way to the newest, and what is said instead. */

import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { errorSentence } from "../../errors.js";
import { formatNumber, t } from "../../i18n.js";
import { chatTitle } from "../../names.js";
import { chatRevision, connection, me } from "../../state.js";
import { formatDay } from "../../time.js";
import { Button, EmptyState, Icon } from "../../ui/index.js";
import { MessageRow } from "../message/message-row.js";
import { HistoryInput } from "./input.js";

/** @param {{open: import("../open-chat.js").OpenChat}} props */
export function HistoryPane({ open }) {
  const { chat, view } = open;
  chatRevision(chat.id).value;
  // There may be messages all the same: those that one has hidden.
  const isEmpty = chat.lastMessage === null && chat.pending.length === 0;
  return html`<div class="history">
    ${isEmpty
      ? html`<${EmptyState} icon="chat" title=${t("chat.empty.title")} text=${t("chat.empty.text")} />`
      : html`<${Rows} open=${open} />`}
    ${!isEmpty && html`<${StickyDay} open=${open} />`}
    <${LoadProblem} view=${view} />
    <${ToNewest} open=${open} />
  </div>`;
}

function Rows({ open }) {
  const { chat, view } = open;
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const track = useRef(null);
  const strip = useRef(null);
  const input = useRef(/** @type {HistoryInput | null} */ (null));
  input.current ??= new HistoryInput(open, scroller);

  chatRevision(chat.id).value;
  view.revision.value;
  const rows = view.draw(open.reading.unreadFrom.value);
  const hadFocus = scroller.current?.contains(document.activeElement) ?? false;

  useLayoutEffect(() => {
    view.attach(scroller.current, track.current, strip.current);
    return () => view.detach();
  }, []);
  useLayoutEffect(() => {
    view.settle();
    input.current.keepFocus(hadFocus);
  });

  const tabStop = tabStopOf(open, rows);
  return html`<div
    ref=${scroller}
    class="history__scroller scrolls"
    role="feed"
    tabindex="-1"
    aria-label=${t("chat.history", { title: chatTitle(chat) })}
    aria-busy=${rows.some((row) => row.message === null) ? "true" : "false"}
    ...${input.current.listeners}
  >
    <div ref=${track} class="history__track">
      <div ref=${strip} class="history__strip">
        ${rows.map((row) => drawRow(open, row, row.index === tabStop))}
      </div>
    </div>
  </div>`;
}

function drawRow(open, row, isTabStop) {
  const { chat, people, view } = open;
  const { message } = row;
  const reply = message?.reply_to ?? null;
  if (reply !== null) view.loader.loadOriginal(reply.seq);
  return html`<${MessageRow}
    ...${row}
    key=${row.key}
    open=${open}
    isGroup=${chat.type === "group"}
    senderName=${message ? people.nameOf(message.sender_id, message.sender_username) : ""}
    status=${message && row.isOwn ? chat.status(message) : null}
    original=${reply && originalOf(chat, reply.seq)}
    originalAuthor=${reply ? authorOf(open, reply) : ""}
    isActive=${open.active.value === row.index}
    isTabStop=${isTabStop}
    isHighlighted=${view.highlighted.value === row.index}
  />`;
}

function originalOf(chat, seq) {
  const original = chat.original(seq);
  return original === null ? "hidden" : (original ?? null);
}

function authorOf({ chat, people }, { seq, sender_id: senderId }) {
  if (senderId === me.value?.id) return t("chat.you");
  return people.nameOf(senderId, chat.original(seq)?.sender_username ?? "");
}

/** The row that Tab leads to: the one that had the focus, else the newest in view. */
function tabStopOf({ current, view }, rows) {
  const wanted = current.value ?? view.lastInView;
  const known = rows.filter((row) => row.message !== null);
  return (known.find((row) => row.index >= wanted) ?? known.at(-1))?.index;
}

/** While one scrolls; at rest it would only cover words. */
function StickyDay({ open }) {
  const { stickyDay, isMoving } = open.view;
  if (stickyDay.value === null) return null;
  return html`<div class="sticky-day" data-resting=${isMoving.value ? undefined : ""}>
    <button type="button" class="day-line__label" tabindex="-1" onClick=${open.askForDate}>${formatDay(stickyDay.value)}</button>
  </div>`;
}

function LoadProblem({ view }) {
  const error = view.loader.error.value;
  const isOnline = connection.value.state === "online";
  useEffect(() => {
    if (isOnline && view.loader.hasFailed) view.retry();
  }, [isOnline]);
  if (error === null) return null;
  return html`<div class="load-problem" role="status">
    <p>${errorSentence(error, "history")}</p>
    <${Button} size="small" icon="retry" onClick=${() => view.retry()}>${t("action.tryAgain")}</${Button}>
  </div>`;
}

function ToNewest({ open }) {
  const { chat, view } = open;
  chatRevision(chat.id).value;
  if (view.isNearEnd.value) return null;
  const { unread } = chat;
  // At the end there is no button, and the focus stays in the history.
  const goDown = (event) => {
    event.currentTarget.closest(".history").querySelector("[role=feed]").focus({ preventScroll: true });
    view.goToEnd();
  };
  const label = unread === 0 ? t("chat.toNewest") : t("chat.toNewestOf", { count: unread });
  return html`<button type="button" class="to-newest" aria-label=${label} data-tooltip=${label} onClick=${goDown}>
    <${Icon} name="down" size=${22} />
    ${unread > 0 && html`<span class="to-newest__count" aria-hidden="true">${unread > 999 ? `${formatNumber(999)}+` : formatNumber(unread)}</span>`}
  </button>`;
}
