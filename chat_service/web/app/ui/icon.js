/** One icon of the set as inline SVG. It is decoration: the control around it carries the name. */

import { html } from "htm/preact";
import { ICON_SHAPES } from "./icon-shapes.js";

/** @param {{name: keyof typeof ICON_SHAPES, size?: number, class?: string}} props `size` in CSS pixels, default 20 */
export function Icon({ name, size = 20, class: className = "" }) {
  return html`<svg
    class=${`icon ${className}`}
    width=${size}
    height=${size}
    viewBox="0 0 24 24"
    fill="none"
    stroke="currentColor"
    stroke-width="1.75"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
    focusable="false"
  >
    <path d=${ICON_SHAPES[name]} />
  </svg>`;
}
