/** A small count, as of unread messages; above 999 it says so instead of growing. */

import { html } from "htm/preact";
import { formatNumber } from "../i18n.js";

/** @param {{count: number, label?: string, quiet?: boolean}} props `label` is the sentence for screen readers */
export function Badge({ count, label, quiet }) {
  if (!count) return null;
  const text = count > 999 ? `${formatNumber(999)}+` : formatNumber(count);
  return html`<span class=${`badge ${quiet ? "badge--quiet" : ""}`}>
    <span aria-hidden=${label ? "true" : undefined}>${text}</span>
    ${label && html`<span class="for-screen-reader">${label}</span>`}
  </span>`;
}
