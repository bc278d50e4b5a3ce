/** How far one's own message has come, as a small icon with its word for screen readers. */

import { html } from "htm/preact";
import { t } from "../../i18n.js";
import { Icon } from "../../ui/index.js";

const ICONS = { queued: "clock", failed: "error", sent: "check", delivered: "checks", read: "checks" };

/** @param {{status: "queued" | "failed" | "sent" | "delivered" | "read"}} props */
export function Ticks({ status }) {
  const name = t(`status.${status}`);
  return html`<span class=${`ticks ticks--${status}`} role="img" aria-label=${name} title=${name}>
    <${Icon} name=${ICONS[status]} size=${15} />
  </span>`;
}
