/** Every text that a message has had, the newest first. */

import { html } from "htm/preact";
import { t } from "../../i18n.js";
import { formatMoment } from "../../time.js";
import { Dialog } from "../../ui/index.js";
import { Markup } from "../markup/markup.js";
import { useLoaded } from "./use-loaded.js";

/** @param {{chat: any, message: any, onClose: () => void}} props */
export function RevisionsDialog({ chat, message, onClose }) {
  const { value: revisions, placeholder } = useLoaded(() => chat.revisions(message));
  return html`<${Dialog} title=${t("chat.revisions.title")} onClose=${onClose}>
    ${revisions === null
      ? placeholder
      : html`<ol class="revisions">
          ${revisions.toReversed().map((revision) => html`<${Revision} key=${revision.revision} ...${revision} count=${revisions.length} />`)}
        </ol>`}
  </${Dialog}>`;
}

function Revision({ revision, content, edited_at: editedAt, count }) {
  return html`<li class="revision">
    <p class="revision__title">
      ${t(revisionName(revision, count))} · <time datetime=${editedAt}>${formatMoment(editedAt)}</time>
    </p>
    <${Markup} content=${content} />
  </li>`;
}

function revisionName(revision, count) {
  if (revision === 1) return "chat.revisions.first";
  return revision === count ? "chat.revisions.present" : "chat.revisions.earlier";
}
