/** The mark of the client, the same drawing as icons/icon.svg. */

import { html } from "htm/preact";

export function Logo() {
  return html`<svg class="logo" width="56" height="56" viewBox="0 0 64 64" aria-hidden="true">
    <rect class="logo__ground" width="64" height="64" rx="18" />
    <path class="logo__back" d="M27 15h17a9 9 0 0 1 9 9v7a9 9 0 0 1-9 9" />
    <path class="logo__front" d="M20 22h17a8 8 0 0 1 8 8v7a8 8 0 0 1-8 8H26l-9 7v-8.2A8 8 0 0 1 12 37v-7a8 8 0 0 1 8-8z" />
    <circle class="logo__dot" cx="28.5" cy="33.5" r="3.5" />
  </svg>`;
}
