/** What is shown in the place of something that is still being loaded. */

import { html } from "htm/preact";

/** @param {{shape?: "line" | "circle" | "block", width?: string}} props `width` as in CSS, default as wide as it fits */
export function Skeleton({ shape = "line", width }) {
  return html`<span class=${`skeleton skeleton--${shape}`} style=${{ inlineSize: width }} aria-hidden="true"></span>`;
}

export function Spinner() {
  return html`<svg class="spinner" width="18" height="18" viewBox="0 0 24 24" fill="none" aria-hidden="true">
    <circle class="spinner__track" cx="12" cy="12" r="9" stroke-width="3" />
    <path class="spinner__arc" d="M12 3a9 9 0 0 1 9 9" stroke-width="3" stroke-linecap="round" />
  </svg>`;
}
