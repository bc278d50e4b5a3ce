/** One chat in the main pane with its details beside it; what is shown until it is known, and when it is gone. */

import { html } from "htm/preact";
import { ChatView } from "../chat/index.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { goBack, navigate } from "../router.js";
import { paths } from "../routes.js";
import { chatsListed, client, sortedChats } from "../state.js";
import { withStyle } from "../styles.js";
import { IconButton, Skeleton } from "../ui/index.js";
import { GonePane } from "./other-panes.js";

const ChatDetails = lazy(withStyle(() => import("../details/chat-details.js"), "panels"), "ChatDetails");

export function ChatPane({ chatId, details }) {
  sortedChats.value; // a chat that comes or goes is a change of the list
  if (!client.chats.has(chatId)) return chatsListed.value ? html`<${GonePane} chatId=${chatId} />` : html`<${ChatPaneSkeleton} />`;
  const toggleDetails = () =>
    details ? goBack(paths.chat(chatId)) : navigate(paths.chatDetails(chatId));
  return html`
    <div class="chat-pane"><${ChatView} chatId=${chatId} onOpenDetails=${toggleDetails} /></div>
    ${details && html`<aside class="details-pane" aria-label=${t("details.region")}><${ChatDetails} chatId=${chatId} /></aside>`}
  `;
}

function ChatPaneSkeleton() {
  return html`<div class="chat-pane chat-pane--loading" aria-busy="true">
    <header class="bar">
      <${IconButton} class="only-narrow" icon="back" label=${t("action.back")} onClick=${() => goBack(paths.home())} />
      <${Skeleton} shape="circle" width="2.25rem" />
      <${Skeleton} width="10rem" />
      <span class="for-screen-reader" role="status">${t("chat.loading")}</span>
    </header>
  </div>`;
}
