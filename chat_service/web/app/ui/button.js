/** Buttons: with words, or an icon alone. A busy button keeps its size, takes no click and says so. */

import { html } from "htm/preact";
import { Icon } from "./icon.js";
import { Spinner } from "./skeleton.js";

/**
 * @param {{
 *   variant?: "primary" | "quiet" | "plain" | "danger" | "danger-plain", size?: "small" | "normal" | "large",
 *   icon?: string, busy?: boolean, wide?: boolean, class?: string, children?: unknown,
 * } & Record<string, unknown>} props the rest goes to the <button>, or to an <a> where there is an `href`
 */
export function Button({ variant = "quiet", size = "normal", icon, busy, wide, class: className = "", children, ...rest }) {
  const classes = `button button--${variant} button--${size} ${wide ? "button--wide" : ""} ${className}`;
  const content = html`
    ${icon && html`<${Icon} name=${icon} size=${size === "small" ? 16 : 20} />`}
    <span class="button__text">${children}</span>
    ${busy && html`<span class="button__busy"><${Spinner} /></span>`}
  `;
  if (rest.href) return html`<a class=${classes} ...${rest}>${content}</a>`;
  return html`<button type="button" class=${classes} aria-busy=${busy ? "true" : undefined} ...${withoutClicks(rest, busy)}>
    ${content}
  </button>`;
}

/**
 * @param {{icon: string, label: string, size?: "small" | "normal", pressed?: boolean, tooltip?: boolean,
 *   class?: string, children?: unknown} & Record<string, unknown>} props `label` is what a screen reader says
 *   and, unless `tooltip` is false, what the tooltip shows
 */
export function IconButton({ icon, label, size = "normal", pressed, tooltip = true, class: className = "", children, ...rest }) {
  return html`<button
    type="button"
    class=${`icon-button icon-button--${size} ${className}`}
    aria-label=${label}
    aria-pressed=${pressed === undefined ? undefined : String(pressed)}
    data-tooltip=${tooltip ? label : undefined}
    ...${rest}
  >
    <${Icon} name=${icon} size=${size === "small" ? 18 : 22} />${children}
  </button>`;
}

/** A disabled button would lose the focus; one that is busy merely does nothing. */
function withoutClicks(rest, busy) {
  return busy ? { ...rest, onClick: (event) => event.preventDefault() } : rest;
}
