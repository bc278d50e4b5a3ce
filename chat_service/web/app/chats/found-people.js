/** Below the chats that match a search: people of the service with whom there is no chat yet. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { PersonFace } from "../people/person-row.js";
import { LEAST_CHARS, usePeopleSearch } from "../people/people-search.js";
import { sortedChats } from "../state.js";
import { Spinner } from "../ui/index.js";
import { openDirectChat } from "./open-direct-chat.js";

export function FoundPeople({ query, hasChats, onChosen }) {
  const { state, people, error } = usePeopleSearch(query);
  const [openingId, setOpeningId] = useState(/** @type {number | null} */ (null));
  const known = new Set(sortedChats.value.map((chat) => chat.peer?.id));
  const strangers = people.filter((user) => !known.has(user.id));
  const open = async (user) => {
    setOpeningId(user.id);
    if (await openDirectChat(user.id)) onChosen();
    setOpeningId(null);
  };

  return html`<section class="found-people" aria-label=${t("people.title")}>
    ${strangers.length > 0 && html`<h2 class="list-heading">${t("people.title")}</h2>`}
    <ul>
      ${strangers.map(
        (user) => html`<li key=${user.id}>
          <button type="button" class="person" aria-busy=${openingId === user.id ? "true" : undefined} onClick=${() => open(user)}>
            <${PersonFace} user=${user}>${openingId === user.id && html`<${Spinner} />`}</${PersonFace}>
          </button>
        </li>`,
      )}
    </ul>
    <p class="list-note" role="status">${note({ state, query, error, isEmpty: !strangers.length && !hasChats })}</p>
  </section>`;
}

function note({ state, query, error, isEmpty }) {
  if (state === "failed") return errorSentence(error);
  if (!isEmpty) return null;
  if ([...query].length < LEAST_CHARS) return t("chats.noneFound");
  return state === "done" ? t("people.noneFound", { query }) : t("people.searching");
}
