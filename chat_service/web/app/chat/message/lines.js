/** What stands between messages: the day, and where the reader stopped. */

import { html } from "htm/preact";
import { t } from "../../i18n.js";
import { formatDay } from "../../time.js";

/** @param {{timestamp: string, onPress: () => void}} props pressing it asks for another date */
export function DayLine({ timestamp, onPress }) {
  return html`<div class="day-line">
    <button type="button" class="day-line__label" tabindex="-1" data-tooltip=${t("chat.jumpToDate")} onClick=${onPress}>
      ${formatDay(timestamp)}
    </button>
  </div>`;
}

export function UnreadLine() {
  return html`<div class="unread-line"><span class="unread-line__label">${t("chat.newMessages")}</span></div>`;
}
