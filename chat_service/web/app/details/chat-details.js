/** Who and what is behind a chat: the people of a group with their roles, or the other person of a direct chat. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { goBack } from "../router.js";
import { paths } from "../routes.js";
import { chatRevision, client } from "../state.js";
import { IconButton } from "../ui/index.js";
import { GroupDetails } from "./group-details.js";
import { PersonDetails } from "./person-details.js";

export function ChatDetails({ chatId }) {
  chatRevision(chatId).value;
  const chat = client.chats.get(chatId);
  if (!chat) return null;
  const isGroup = chat.type === "group";
  const close = () => goBack(paths.chat(chatId));
  return html`
    <header class="bar">
      <${IconButton} class="only-narrow" icon="back" label=${t("action.back")} onClick=${close} />
      <h2 class="bar__title" tabindex="-1" data-route-focus>${t(isGroup ? "details.group" : "details.person")}</h2>
      <${IconButton} class="only-wide" icon="close" label=${t("action.close")} onClick=${close} />
    </header>
    ${isGroup ? html`<${GroupDetails} chat=${chat} />` : html`<${PersonDetails} chat=${chat} />`}
  `;
}
