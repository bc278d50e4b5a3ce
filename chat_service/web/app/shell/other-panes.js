/** The main pane where no chat is open: what to do next, or that the address means nothing. */

import { html } from "htm/preact";
import { openNewChat } from "../dialogs.js";
import { t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { paths } from "../routes.js";
import { chatsLoaded, client, sortedChats } from "../state.js";
import { copyText } from "../clipboard.js";
import { Button, EmptyState } from "../ui/index.js";

export function HomePane() {
  const isNew = chatsLoaded.value && sortedChats.value.length === 0;
  return html`<${EmptyState}
    heading="h1"
    icon="chat"
    title=${t(isNew ? "home.newTitle" : "home.title")}
    text=${t(isNew ? "home.newText" : "home.text")}
  >
    <${Button} variant="primary" icon="add" onClick=${openNewChat}>${t("newChat.title")}</${Button}>
  </${EmptyState}>`;
}

export function UnknownPane() {
  return html`<${EmptyState} heading="h1" icon="search" title=${t("unknown.title")} text=${t("unknown.text")}>
    <${Button} variant="primary" href=${hrefOf(paths.home())}>${t("unknown.action")}</${Button}>
  </${EmptyState}>`;
}

/** A chat that is not there, or not any more: left, removed, or an address of somebody else. */
export function GonePane({ chatId }) {
  // What was written there is one's own, and can be had nowhere else.
  const unsent = client.unsentTo(chatId).join("\n\n");
  return html`<${EmptyState} heading="h1" icon="chat" title=${t("gone.title")} text=${t("gone.text")}>
    ${unsent &&
    html`<figure class="unsent">
      <figcaption class="unsent__title">${t("gone.unsent")}</figcaption>
      <blockquote class="unsent__text scrolls" dir="auto" tabindex="0">${unsent}</blockquote>
      <${Button} icon="copy" onClick=${() => copyText(unsent)}>${t("chat.action.copy")}</${Button}>
    </figure>`}
    <${Button} variant="primary" href=${hrefOf(paths.home())} data-replace="">${t("unknown.action")}</${Button}>
  </${EmptyState}>`;
}
