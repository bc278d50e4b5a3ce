/** What a region shows when there is nothing in it: what it is for, and what to do next. */

import { html } from "htm/preact";
import { Icon } from "./icon.js";

/** @param {{icon: string, title: string, text?: string, heading?: "h1" | "h2", children?: unknown}} props children: the actions */
export function EmptyState({ icon, title, text, heading: Heading = "h2", children }) {
  return html`<div class="empty-state">
    <span class="empty-state__picture"><${Icon} name=${icon} size=${30} /></span>
    <${Heading} class="empty-state__title">${title}</${Heading}>
    ${text && html`<p class="empty-state__text">${text}</p>`}
    ${children && html`<div class="empty-state__actions">${children}</div>`}
  </div>`;
}
