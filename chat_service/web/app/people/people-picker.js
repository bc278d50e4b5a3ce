/** Choosing several people: a search field, those who were chosen as chips above it, and the matches below. */

import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { displayName, matchesPerson } from "../names.js";
import { announce, Avatar, Icon, isComposing, SearchField, Spinner, UserText, useRovingFocus } from "../ui/index.js";
import { PersonFace } from "./person-row.js";
import { usePeopleSearch } from "./people-search.js";

/** @import {User} from "../../sdk/types.js" */

/**
 * @param {{
 *   chosen: User[], onChange: (chosen: User[]) => void, suggestions: User[],
 *   isTaken?: (user: User) => boolean, takenNote?: string,
 * }} props `suggestions` are shown while nothing is typed; who `isTaken` is listed with the note and cannot be chosen
 */
export function PeoplePicker({ chosen, onChange, suggestions, isTaken = () => false, takenNote }) {
  const [query, setQuery] = useState("");
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const { state, people, error } = usePeopleSearch(query);
  useRovingFocus(list, { selector: "[role=option]" });
  const shown = state === "idle" ? suggestions.filter((user) => matchesPerson(user, query)) : people;
  const chosenIds = new Set(chosen.map((user) => user.id));

  const toggle = (user) => {
    if (isTaken(user)) return;
    const isChosen = chosenIds.has(user.id);
    onChange(isChosen ? chosen.filter((one) => one.id !== user.id) : [...chosen, user]);
    announce(t(isChosen ? "people.unchosen" : "people.chosen", { name: displayName(user) }));
  };

  const onSearchKey = (event) => {
    if (isComposing(event)) return;
    const options = list.current?.querySelectorAll("[role=option]");
    if (event.key === "ArrowDown") options?.[0]?.focus();
    else if (event.key === "Enter") {
      // Never sends the form around it, and never takes the match of an older question.
      if (query && shown.length && state !== "searching") {
        toggle(shown[0]);
        setQuery("");
      }
    } else if (event.key === "Backspace" && !query && chosen.length) onChange(chosen.slice(0, -1));
    else return;
    event.preventDefault();
  };

  return html`<div class="picker">
    <${SearchField}
      label=${t("people.search")}
      data-autofocus
      value=${query}
      onInput=${setQuery}
      onKeyDown=${onSearchKey}
    />
    ${chosen.length > 0 && html`<${Chips} chosen=${chosen} onRemove=${toggle} />`}
    <div ref=${list} class="picker__people scrolls" role="listbox" aria-multiselectable="true" aria-label=${t("people.title")}>
      ${shown.map((user) => {
        const taken = isTaken(user);
        return html`<div
          key=${user.id}
          class="person"
          role="option"
          tabindex="-1"
          aria-selected=${String(chosenIds.has(user.id))}
          aria-disabled=${taken ? "true" : undefined}
          onClick=${() => toggle(user)}
          onKeyDown=${(event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            toggle(user);
          }}
        >
          <${PersonFace} user=${user} note=${taken ? takenNote : undefined}>
            ${!taken && html`<span class="tick"><${Icon} name="check" size=${16} /></span>`}
          </${PersonFace}>
        </div>`;
      })}
    </div>
    <p class="list-note" role="status">
      ${state === "searching" && !people.length && html`<${Spinner} />`}
      ${state === "failed" && errorSentence(error)}
      ${state === "done" && !people.length && t("people.noneFound", { query: query.trim() })}
      ${state === "idle" && !shown.length && t("people.hint")}
    </p>
  </div>`;
}

function Chips({ chosen, onRemove }) {
  return html`<ul class="chips" aria-label=${t("people.chosenList")}>
    ${chosen.map(
      (user) => html`<li key=${user.id}>
        <button type="button" class="chip" aria-label=${t("people.unchoose", { name: displayName(user) })} onClick=${() => onRemove(user)}>
          <${Avatar} name=${displayName(user)} size="tiny" />
          <${UserText} text=${displayName(user)} />
          <${Icon} name="close" size=${14} />
        </button>
      </li>`,
    )}
  </ul>`;
}

/** The people with whom one has direct chats, newest activity first: whom one most likely means. */
export function knownPeople(chats) {
  return chats.map((chat) => chat.peer).filter((user) => user !== null && user !== undefined);
}
