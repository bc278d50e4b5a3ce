/** One person in a list: picture, name, username, and whether they are online. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { displayName } from "../names.js";
import { client, presenceRevision } from "../state.js";
import { UserAvatar, UserText } from "../ui/index.js";

/**
 * @param {{
 *   user: {id?: number, user_id?: number, username: string, full_name: string | null}, note?: string,
 *   wasOnline?: boolean, children?: unknown,
 * }} props `note` instead of the username in the second line; `wasOnline` at the last look, for whoever is not
 *   told of
 */
export function PersonFace({ user, note, wasOnline = false, children }) {
  const userId = user.id ?? user.user_id;
  presenceRevision(userId).value;
  const isOnline = client.isOnline(userId) ?? wasOnline;
  return html`
    <${UserAvatar} user=${user} size="small" online=${isOnline} />
    <span class="person__names">
      <${UserText} class="person__name one-line" text=${displayName(user)} />
      <span class="person__note one-line" dir="auto">
        ${note ?? `@${user.username}`}
        ${isOnline && html`<span class="for-screen-reader">${t("presence.online")}</span>`}
      </span>
    </span>
    ${children}
  `;
}
