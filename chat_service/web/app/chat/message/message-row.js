/**
 * One row of the history. It reads signals (the language, the day), so it is drawn again only when one of them
 * or one of its properties has changed; that is why the properties are plain values and no fresh objects.
 */

import { html } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { errorSentence } from "../../errors.js";
import { t } from "../../i18n.js";
import { formatFull, formatTime } from "../../time.js";
import { Avatar, Button, Icon, IconButton, Skeleton, UserText } from "../../ui/index.js";
import { isFewEmoji } from "../markup/emoji.js";
import { summarise } from "../markup/summary.js";
import { Body } from "./body.js";
import { DayLine, UnreadLine } from "./lines.js";
import { Quote } from "./quote.js";
import { Ticks } from "./ticks.js";

const LABEL_CHARS = 300;

/**
 * @param {{
 *   open: import("../open-chat.js").OpenChat, index: number, message: any | null, isOwn: boolean, isGroup: boolean,
 *   day: string | null, isUnreadStart: boolean, startsGroup: boolean, endsGroup: boolean,
 *   senderName: string, status: string | null, original: any, originalAuthor: string,
 *   isActive: boolean, isTabStop: boolean, isHighlighted: boolean,
 * }} props `original` is what a reply answers: a message, null while it is not loaded, or "hidden"
 */
export function MessageRow(props) {
  const { open, index, message, isOwn, isGroup, day, isUnreadStart, startsGroup, endsGroup, isTabStop } = props;
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    const observed = element.current;
    open.view.observe(observed);
    return () => open.view.unobserve(observed);
  }, [message === null]);

  if (message === null) return html`<${EmptyRow} elementRef=${element} index=${index} />`;
  const classes = [
    "row",
    isOwn ? "row--own" : "row--other",
    isGroup && !isOwn && "row--with-avatar",
    startsGroup && "row--starts",
    endsGroup && "row--ends",
    props.isHighlighted && "row--highlighted",
  ];
  return html`<article
    ref=${element}
    class=${classes.filter(Boolean).join(" ")}
    data-index=${index}
    tabindex=${isTabStop ? 0 : -1}
    aria-posinset=${index}
    aria-setsize="-1"
    aria-label=${labelOf(props)}
  >
    ${day !== null && html`<${DayLine} timestamp=${day} onPress=${open.askForDate} />`}
    ${isUnreadStart && html`<${UnreadLine} />`}
    <div class="row__line">
      ${isGroup && !isOwn && html`<div class="row__avatar">
        ${startsGroup && html`<${Avatar} name=${props.senderName} size="small" />`}
      </div>`}
      <${Bubble} ...${props} />
    </div>
    ${props.status === "failed" && html`<${Failure} open=${open} message=${message} />`}
  </article>`;
}

function Bubble({ open, index, message, isOwn, isGroup, startsGroup, ...more }) {
  const { senderName, status, original, originalAuthor, isActive, isTabStop } = more;
  const tail = html`<${Tail} open=${open} message=${message} status=${status} />`;
  const isEmoji = !message.is_deleted && !message.reply_to && isFewEmoji(message.content);
  return html`<div class=${`bubble ${isEmoji ? "bubble--emoji" : ""} ${message.is_deleted ? "bubble--deleted" : ""}`}>
    ${isGroup && !isOwn && startsGroup && html`<div class="bubble__sender one-line"><${UserText} class="" text=${senderName} /></div>`}
    ${message.reply_to &&
    !message.is_deleted &&
    html`<${Quote} author=${originalAuthor} original=${original} onPress=${() => open.goToMessage(message.reply_to.seq)} />`}
    ${message.is_deleted
      ? html`<p class="bubble__tombstone"><${Icon} name="delete" size=${16} /> ${t("chat.deletedMessage")}${tail}</p>`
      : html`<${Body}
          key=${message.revision}
          content=${message.content}
          tail=${tail}
          tabIndex=${isTabStop ? 0 : -1}
          isOpened=${open.isTextOpened(message)}
          onOpen=${() => open.openText(message)}
        />`}
    ${isActive && html`<${Toolbar} open=${open} index=${index} message=${message} />`}
  </div>`;
}

/** Edited mark, time and ticks, at the end of the last line. */
function Tail({ open, message, status }) {
  return html`<span class="tail" dir="auto">
    ${message.is_edited &&
    !message.is_deleted &&
    html`<button type="button" class="tail__edited" tabindex="-1" onClick=${() => open.showRevisions(message)}>
      ${t("chat.edited")}
    </button>`}
    <time datetime=${message.timestamp} title=${formatFull(message.timestamp)}>${formatTime(message.timestamp)}</time>
    ${status !== null && !message.is_deleted && html`<${Progress} open=${open} message=${message} status=${status} />`}
  </span>`;
}

/** In a group the ticks tell who it was. */
function Progress({ open, message, status }) {
  const ticks = html`<${Ticks} status=${status} />`;
  if (open.chat.type !== "group" || message.seq === null) return ticks;
  return html`<button type="button" class="tail__ticks" tabindex="-1" onClick=${() => open.showReaders(message)}>${ticks}</button>`;
}

/** For the mouse; the menu that Enter opens has the same and more, so these are no tab stops. */
function Toolbar({ open, index, message }) {
  return html`<div class="toolbar">
    ${open.actions.canReply(message) &&
    html`<${IconButton}
      icon="reply"
      size="small"
      tabindex="-1"
      label=${t("chat.action.reply")}
      onClick=${() => open.composing.replyTo(message)}
    />`}
    <${IconButton}
      icon="more"
      size="small"
      tabindex="-1"
      label=${t("chat.action.more")}
      aria-haspopup="menu"
      onClick=${(event) => open.openMenu(index, event.currentTarget)}
    />
  </div>`;
}

function Failure({ open, message }) {
  return html`<div class="failure">
    <p class="failure__reason"><${Icon} name="error" size=${16} /> ${t("chat.notSent")} ${errorSentence(message.error, "send")}</p>
    <${Button} size="small" variant="plain" icon="retry" onClick=${() => open.chat.retry(message)}>${t("chat.action.retry")}</${Button}>
    <${Button} size="small" variant="plain" onClick=${() => open.actions.discard(message)}>${t("chat.action.discard")}</${Button}>
  </div>`;
}

/** What is not loaded yet. Lengths differ by index, so that it looks like a talk and not like a table. */
function EmptyRow({ elementRef, index }) {
  const isOwn = index % 7 === 3 || index % 7 === 4;
  return html`<div ref=${elementRef} class=${`row row--empty ${isOwn ? "row--own" : ""}`} data-index=${index} aria-hidden="true">
    <span class="row__skeleton"><${Skeleton} shape="block" width=${`${8 + ((index * 37) % 11)}rem`} /></span>
  </div>`;
}

function labelOf({ message, isOwn, senderName, isUnreadStart, status }) {
  const sender = isOwn ? t("chat.you") : senderName;
  const text = message.is_deleted ? t("chat.deletedMessage") : summarise(message.content, LABEL_CHARS);
  const parts = [isUnreadStart && t("chat.newMessages"), sender, text, formatTime(message.timestamp)];
  if (message.is_edited && !message.is_deleted) parts.push(t("chat.edited"));
  if (status !== null) parts.push(t(`status.${status}`));
  return parts.filter(Boolean).join(", ");
}
