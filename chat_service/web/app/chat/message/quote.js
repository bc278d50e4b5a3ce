/** The message that a reply answers, in two short lines above it; pressing it leads there. */

import { html } from "htm/preact";
import { t } from "../../i18n.js";
import { Skeleton, UserText } from "../../ui/index.js";
import { summarise } from "../markup/summary.js";

/**
 * @param {{author: string, original: any | null | "hidden", onPress: () => void}} props `original` is null while
 *   it is not loaded. The menu of the message leads there too, so this is no tab stop of its own.
 */
export function Quote({ author, original, onPress }) {
  return html`<button type="button" class="quote" tabindex="-1" onClick=${onPress}>
    <${UserText} class="quote__author one-line" text=${author} />
    ${original === null ? html`<${Skeleton} width="8rem" />` : html`<${UserText} class="quote__text one-line" text=${quotedText(original)} />`}
  </button>`;
}

/** @param {any} original */
export function quotedText(original) {
  if (original === "hidden") return t("chat.quote.hidden");
  return original.is_deleted ? t("chat.deletedMessage") : summarise(original.content);
}
