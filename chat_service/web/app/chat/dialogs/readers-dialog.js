/** Who of a group has read a message, to whom it has been delivered, and to whom not yet. */

import { html } from "htm/preact";
import { t } from "../../i18n.js";
import { displayName } from "../../names.js";
import { chatRevision, me } from "../../state.js";
import { Dialog, UserAvatar, UserText, VirtualList } from "../../ui/index.js";
import { useLoaded } from "./use-loaded.js";

const ROW_REM = 3;

/** @param {{chat: any, message: any, onClose: () => void}} props */
export function ReadersDialog({ chat, message, onClose }) {
  chatRevision(chat.id).value;
  const { value: isLoaded, placeholder } = useLoaded(async () => {
    await chat.loadParticipants();
    return true;
  });
  const groups = isLoaded === null ? [] : listGroups(chat, message);
  return html`<${Dialog} title=${t("chat.readers.title")} size="small" onClose=${onClose}>
    ${isLoaded === null && placeholder}
    ${isLoaded !== null && groups.length === 0 && html`<p class="dialog__text">${t("chat.readers.nobody")}</p>`}
    ${groups.map((group) => html`<${Group} key=${group.name} ...${group} />`)}
  </${Dialog}>`;
}

function Group({ name, people }) {
  const title = t(`chat.readers.${name}`, { count: people.length });
  return html`<section class="readers">
    <h3 class="readers__title">${title}</h3>
    <${VirtualList}
      items=${people}
      keyOf=${(person) => person.user_id}
      rowHeight=${ROW_REM}
      label=${title}
      renderRow=${(person, attributes) => html`<div class="reader" ...${attributes}>
        <${UserAvatar} user=${person} size="small" />
        <${UserText} text=${displayName(person)} />
      </div>`}
    />
  </section>`;
}

function listGroups(chat, message) {
  const readers = new Set(chat.readers(message).map((one) => one.user_id));
  const others = (chat.participants ?? []).filter((one) => one.user_id !== me.peek()?.id && one.user_id !== message.sender_id);
  const read = others.filter((one) => readers.has(one.user_id));
  const unread = others.filter((one) => !readers.has(one.user_id));
  return [
    { name: "read", people: read },
    { name: "delivered", people: unread.filter((one) => one.delivered_seq >= message.seq) },
    { name: "waiting", people: unread.filter((one) => one.delivered_seq < message.seq) },
  ].filter((group) => group.people.length > 0);
}
