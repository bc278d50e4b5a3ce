/** Above the field: which message is answered or changed, and the way out of it. */

import { html } from "htm/preact";
import { t } from "../../i18n.js";
import { chatRevision, me } from "../../state.js";
import { Icon, IconButton, Skeleton, UserText } from "../../ui/index.js";
import { quotedText } from "../message/quote.js";

/** @param {{mode: import("./composing.js").Mode, open: import("../open-chat.js").OpenChat}} props */
export function ModeBar({ mode, open }) {
  const { message } = mode;
  const { chat, view } = open;
  chatRevision(chat.id).value;
  const original = chat.original(message.seq);
  if (original === undefined) view.loader.loadOriginal(message.seq);
  const isEdit = mode.kind === "edit";
  const author = message.sender_id === me.value?.id ? t("chat.you") : open.people.nameOf(message.sender_id, message.sender_username);
  return html`<div class="mode-bar">
    <${Icon} name=${isEdit ? "edit" : "reply"} size=${18} />
    <button type="button" class="mode-bar__words" onClick=${() => open.goToMessage(message.seq)}>
      <span class="mode-bar__title one-line">${isEdit ? t("chat.composer.editing") : t("chat.composer.replying", { name: author })}</span>
      ${original === undefined
        ? html`<${Skeleton} width="8rem" />`
        : html`<${UserText} class="mode-bar__text one-line" text=${quotedText(original ?? "hidden")} />`}
    </button>
    <${IconButton}
      icon="close"
      size="small"
      label=${t(isEdit ? "chat.composer.cancelEdit" : "chat.composer.cancelReply")}
      onClick=${() => open.composing.leave()}
    />
  </div>`;
}
