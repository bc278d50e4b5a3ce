/** The bar above a chat: whose it is, whether they are there or write, and the ways to its details and dates. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { chatTitle } from "../names.js";
import { goBack } from "../router.js";
import { paths } from "../routes.js";
import { chatRevision, client, connection, presenceRevision } from "../state.js";
import { formatAgo } from "../time.js";
import { ChatAvatar, IconButton, UserText } from "../ui/index.js";

/** @param {{open: import("./open-chat.js").OpenChat, onOpenDetails: () => void}} props */
export function ChatHeader({ open, onOpenDetails }) {
  const { chat } = open;
  chatRevision(chat.id).value;
  if (chat.peer) presenceRevision(chat.peer.id).value;
  const title = chatTitle(chat);
  const status = statusOf(open);
  return html`<header class="bar chat__header">
    <${IconButton} class="only-narrow" icon="back" label=${t("action.back")} onClick=${() => goBack(paths.home())} />
    <div class="chat__title">
      <${ChatAvatar} chat=${chat} size="small" online=${isPeerOnline(chat)} />
      <div class="chat__names">
        <h1 class="chat__name one-line" tabindex="-1" data-route-focus>
          <button type="button" class="chat__open" aria-label=${`${title}, ${t("shortcuts.details")}`} onClick=${onOpenDetails}>
            <${UserText} text=${title} />
          </button>
        </h1>
        <p class=${`chat__status one-line ${status.isTyping ? "chat__status--typing" : ""}`}>
          ${status.isTyping && html`<span class="typing-dots" aria-hidden="true"><i></i><i></i><i></i></span>`}
          ${status.text}
        </p>
      </div>
    </div>
    <${IconButton} icon="calendar" label=${t("chat.jumpToDate")} onClick=${open.askForDate} />
    <${IconButton} icon="info" label=${t("shortcuts.details")} onClick=${onOpenDetails} />
  </header>`;
}

function statusOf({ chat, people }) {
  if (chat.typing.length > 0) return { isTyping: true, text: typingText(chat, people) };
  if (chat.type === "group") return { isTyping: false, text: t("chat.members", { count: chat.participantCount }) };
  return { isTyping: false, text: presenceText(chat) };
}

function typingText(chat, people) {
  if (chat.type === "direct") return t("chat.typing");
  const names = chat.typing.map((userId) => people.nameOf(userId)).filter((name) => name !== "");
  const count = chat.typing.length;
  if (count > 2 || names.length < count) return t("chat.typingMany", { count });
  return count === 2
    ? t("chat.typingTwo", { first: names[0], second: names[1] })
    : t("chat.typingOne", { name: names[0] });
}

/** Nothing is said of others while oneself is cut off: it might be old. */
function presenceText(chat) {
  if (chat.peer === null || connection.value.state !== "online") return "";
  if (isPeerOnline(chat)) return t("presence.online");
  const lastSeen = client.lastSeen(chat.peer.id);
  return lastSeen ? t("presence.lastSeen", { when: formatAgo(lastSeen) }) : "";
}

function isPeerOnline(chat) {
  return chat.peer !== null && client.isOnline(chat.peer.id) === true;
}
