/** The other person of a direct chat. */

import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { chatTitle, displayName } from "../names.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { chatRevision, client, connection, presenceRevision } from "../state.js";
import { formatAgo } from "../time.js";
import { Button, confirmAction, showToast, UserAvatar, UserText } from "../ui/index.js";

export function PersonDetails({ chat }) {
  chatRevision(chat.id).value;
  const user = chat.peer;
  const userId = user?.id;
  const isOnline = connection.value.state === "online";
  useEffect(() => {
    // What the list knows may be old; if it cannot be read again, it is what there is.
    if (userId) client.getUser(userId, { afresh: true }).catch(() => {});
  }, [userId, isOnline]);
  if (!user) return null;

  return html`<div class="details scrolls">
    <div class="details__head">
      <${UserAvatar} user=${user} size="huge" />
      <${UserText} as="h3" class="details__title" text=${displayName(user)} />
      <p class="details__subtitle"><bdi>@${user.username}</bdi></p>
      <p class="details__subtitle">${presenceSentence(user.id)}</p>
    </div>
    ${user.bio &&
    html`<section class="details__section">
      <h3 class="list-heading">${t("field.bio")}</h3>
      <p class="details__text" dir="auto">${user.bio}</p>
    </section>`}
    <section class="details__section details__section--last">
      <${Button} variant="danger-plain" icon="archive" wide onClick=${() => hideChat(chat)}>${t("details.hideChat")}</${Button}>
    </section>
  </div>`;
}

function presenceSentence(userId) {
  presenceRevision(userId).value;
  if (client.isOnline(userId)) return t("presence.online");
  const lastSeen = client.lastSeen(userId);
  return lastSeen ? t("presence.lastSeen", { when: formatAgo(lastSeen) }) : "";
}

async function hideChat(chat) {
  const isSure = await confirmAction({
    title: t("details.hideChat"),
    text: t("details.hideChatText", { name: chatTitle(chat) }),
    action: t("details.hideChatAction"),
  });
  if (!isSure) return;
  try {
    await chat.leave();
    navigate(paths.home(), { replace: true });
  } catch (error) {
    showToast(errorSentence(error), { tone: "danger" });
  }
}
