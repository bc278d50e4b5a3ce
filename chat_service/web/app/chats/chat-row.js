/** One chat in the list: picture, title, when, what was said last, how much of it is unread. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { chatTitle } from "../names.js";
import { hrefOf } from "../router.js";
import { paths } from "../routes.js";
import { chatRevision, client, me, presenceRevision, route } from "../state.js";
import { formatListTime } from "../time.js";
import { Badge, ChatAvatar, Icon, UserText } from "../ui/index.js";
import { isWide } from "../window-size.js";
import { previewOf } from "./preview.js";

const STATUS_ICONS = { queued: "clock", failed: "error", sent: "check", delivered: "checks", read: "checks" };

/** @param {{chat: import("chat-service-client").Chat, attributes: Record<string, unknown>, onChosen: () => void}} props */
export function ChatRow({ chat, attributes, onChosen }) {
  chatRevision(chat.id).value;
  const place = route.value;
  const isOpen = place.name === "chat" && place.chatId === chat.id;
  const preview = previewOf(chat, { isOpen });
  // Side by side, going from chat to chat is no way that one would want to go back step by step.
  const isReplaced = place.name === "chat" && isWide.value;
  const time = chat.pending.at(-1)?.timestamp ?? chat.lastMessage?.timestamp;
  return html`<a
    class=${`chat-row ${chat.unread ? "chat-row--unread" : ""}`}
    href=${hrefOf(paths.chat(chat.id))}
    aria-current=${isOpen ? "page" : undefined}
    data-replace=${isReplaced ? "" : undefined}
    data-chat-id=${chat.id}
    onClick=${onChosen}
    ...${attributes}
  >
    <${ChatAvatar} chat=${chat} online=${isPeerOnline(chat)} />
    <span class="chat-row__lines">
      <span class="chat-row__line">
        <${UserText} class="chat-row__title one-line" text=${chatTitle(chat)} />
        ${isPeerOnline(chat) && html`<span class="for-screen-reader">${t("presence.online")}</span>`}
        ${time && html`<time class="chat-row__time" datetime=${time}>${formatListTime(time)}</time>`}
      </span>
      <span class="chat-row__line">
        <${PreviewLine} chat=${chat} preview=${preview} />
        <${Badge} count=${chat.unread} label=${t("chats.unread", { count: chat.unread })} />
      </span>
    </span>
  </a>`;
}

function PreviewLine({ chat, preview }) {
  const { kind, who, text, message } = preview;
  return html`<span class=${`chat-row__preview chat-row__preview--${kind}`}>
    ${message && !message.is_deleted && message.sender_id === me.value?.id && html`<${StatusMark} status=${chat.status(message)} />`}
    ${kind === "draft" && html`<span class="chat-row__draft">${t("chat.draft")} </span>`}
    ${who && html`<span class="chat-row__who one-line"><bdi>${who}</bdi>: </span>`}
    <span class="chat-row__text one-line" dir="auto">${text}</span>
  </span>`;
}

function StatusMark({ status }) {
  const label = t(`status.${status}`);
  return html`<span class=${`chat-row__status chat-row__status--${status}`} role="img" aria-label=${label}>
    <${Icon} name=${STATUS_ICONS[status]} size=${16} />
  </span>`;
}

function isPeerOnline(chat) {
  if (!chat.peer) return false;
  presenceRevision(chat.peer.id).value;
  return client.isOnline(chat.peer.id) === true;
}
