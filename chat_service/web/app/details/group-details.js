/** A group: its name, its people, and the way out. Everything follows changes that others make meanwhile. */

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { openAddPeople, openRename } from "../dialogs.js";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { chatTitle } from "../names.js";
import { chatRevision } from "../state.js";
import { Button, ChatAvatar, IconButton, Skeleton, UserText } from "../ui/index.js";
import { leaveGroup } from "./leave-group.js";
import { MemberList } from "./member-list.js";
import { mayManage } from "./rules.js";

export function GroupDetails({ chat }) {
  chatRevision(chat.id).value;
  const { error, retry } = useParticipants(chat);
  const isManager = mayManage(chat.myRole);
  return html`<div class="details">
    <div class="details__head">
      <${ChatAvatar} chat=${chat} size="huge" />
      <div class="details__name">
        <${UserText} as="h3" class="details__title" text=${chatTitle(chat)} />
        ${isManager && html`<${IconButton} icon="edit" size="small" label=${t("details.rename")} onClick=${() => openRename({ chat })} />`}
      </div>
      <p class="details__subtitle">${t("details.people", { count: chat.participantCount })}</p>
    </div>
    <section class="details__section details__section--fills" aria-label=${t("details.peopleTitle")}>
      ${isManager && html`<${Button} icon="person-add" wide onClick=${() => openAddPeople({ chat })}>${t("details.addPeople")}</${Button}>`}
      ${error && !chat.participants && html`<${PeopleProblem} error=${error} retry=${retry} />`}
      ${!error && !chat.participants && html`<${PeopleSkeleton} />`}
      ${chat.participants && html`<${MemberList} chat=${chat} />`}
    </section>
    <section class="details__section details__section--last">
      <${Button} variant="danger-plain" icon="leave" wide onClick=${() => leaveGroup(chat)}>${t("details.leave")}</${Button}>
    </section>
  </div>`;
}

/** Sees to it that the people are loaded; the chat itself keeps them in step afterwards. */
function useParticipants(chat) {
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const load = () => {
    setError(null);
    chat.loadParticipants().catch(setError);
  };
  useEffect(() => {
    if (!chat.participants) load();
  }, [chat, chat.participants === null]);
  return { error, retry: load };
}

function PeopleProblem({ error, retry }) {
  return html`<div class="details__problem" role="alert">
    <p>${errorSentence(error)}</p>
    <${Button} size="small" onClick=${retry}>${t("action.tryAgain")}</${Button}>
  </div>`;
}

function PeopleSkeleton() {
  return html`<div aria-busy="true">
    ${[60, 45, 55].map(
      (width) => html`<div class="person" key=${width}><${Skeleton} shape="circle" width="2.25rem" /><${Skeleton} width=${`${width}%`} /></div>`,
    )}
  </div>`;
}
