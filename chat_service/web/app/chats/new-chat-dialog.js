/** Beginning a chat: with one person at once, or with several after the group has a name. */

import { makeKey } from "chat-service-client";
import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { errorSentence, fieldErrors } from "../errors.js";
import { t } from "../i18n.js";
import { matchesPerson } from "../names.js";
import { knownPeople, PeoplePicker } from "../people/people-picker.js";
import { PersonFace } from "../people/person-row.js";
import { usePeopleSearch } from "../people/people-search.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { client, sortedChats } from "../state.js";
import { Button, Dialog, Icon, isComposing, SearchField, Spinner, TextField, useRovingFocus } from "../ui/index.js";

/** @import {User} from "../../sdk/types.js" */

export function NewChatDialog({ onClose }) {
  const [isGroup, setGroup] = useState(false);
  return isGroup
    ? html`<${GroupForm} key="group" onClose=${onClose} onBack=${() => setGroup(false)} />`
    : html`<${PersonForm} key="person" onClose=${onClose} onGroup=${() => setGroup(true)} />`;
}

function PersonForm({ onClose, onGroup }) {
  const [query, setQuery] = useState("");
  const [problem, setProblem] = useState("");
  const [openingId, setOpeningId] = useState(/** @type {number | null} */ (null));
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const { state, people, error } = usePeopleSearch(query);
  useRovingFocus(list, { selector: ".person" });
  const shown = state === "idle" ? knownPeople(sortedChats.value).filter((user) => matchesPerson(user, query)) : people;

  const open = async (user) => {
    setOpeningId(user.id);
    setProblem("");
    try {
      const chat = await client.openDirect(user.id);
      // Closed first: as long as a dialog is open, nothing outside of it can have the focus.
      onClose();
      navigate(paths.chat(chat.id));
    } catch (refusal) {
      setProblem(errorSentence(refusal, "person"));
      setOpeningId(null);
    }
  };
  const onSearchKey = (event) => {
    if (isComposing(event)) return;
    if (event.key === "ArrowDown") list.current?.querySelector(".person")?.focus();
    else if (event.key === "Enter" && query && shown.length && state !== "searching") open(shown[0]);
    else return;
    event.preventDefault();
  };

  return html`<${Dialog} title=${t("newChat.title")} class="dialog--tall" onClose=${onClose}>
    <div class="picker">
      <${SearchField}
        label=${t("people.search")}
        data-autofocus
        value=${query}
        onInput=${setQuery}
        onKeyDown=${onSearchKey}
      />
      ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
      <div ref=${list} class="picker__people scrolls">
        ${state === "idle" &&
        html`<button type="button" class="person" onClick=${onGroup}>
          <span class="person__icon"><${Icon} name="group" /></span>
          <span class="person__name">${t("newGroup.title")}</span>
        </button>`}
        ${shown.map(
          (user) => html`<button
            type="button"
            class="person"
            key=${user.id}
            aria-busy=${openingId === user.id ? "true" : undefined}
            onClick=${() => open(user)}
          >
            <${PersonFace} user=${user}>${openingId === user.id && html`<${Spinner} />`}</${PersonFace}>
          </button>`,
        )}
        <p class="list-note" role="status">
          ${state === "searching" && !people.length && html`<${Spinner} />`}
          ${state === "failed" && errorSentence(error)}
          ${state === "done" && !people.length && t("people.noneFound", { query: query.trim() })}
          ${state === "idle" && !shown.length && t("people.hint")}
        </p>
      </div>
    </div>
  </${Dialog}>`;
}

function GroupForm({ onClose, onBack }) {
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState(/** @type {User[]} */ ([]));
  const [problem, setProblem] = useState({ name: "", other: "" });
  const [isBusy, setBusy] = useState(false);
  const attempt = useRef({ what: "", key: "" });

  const create = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    if (!name.trim()) {
      setProblem({ name: t("field.name.missing"), other: "" });
      event.currentTarget.querySelector("input")?.focus();
      return;
    }
    setBusy(true);
    try {
      const userIds = chosen.map((user) => user.id);
      // The answer may have been lost: the same group again is the same one, another one is not.
      const what = JSON.stringify([name.trim(), userIds]);
      if (attempt.current.what !== what) attempt.current = { what, key: makeKey() };
      const chat = await client.createGroup(name.trim(), userIds, { key: attempt.current.key });
      onClose();
      navigate(paths.chat(chat.id));
    } catch (error) {
      const wrong = fieldErrors(error, ["name"]);
      setProblem({ name: wrong.name ?? "", other: wrong.name ? "" : errorSentence(error, "group") });
      setBusy(false);
    }
  };

  return html`<${Dialog}
    title=${t("newGroup.title")}
    class="dialog--tall"
    onClose=${onClose}
    footer=${html`
      <${Button} variant="plain" onClick=${onBack}>${t("action.back")}</${Button}>
      <${Button} variant="primary" type="submit" form="new-group" busy=${isBusy}>${t("newGroup.create")}</${Button}>
    `}
  >
    <form id="new-group" class="form form--fills" onSubmit=${create}>
      <${TextField}
        label=${t("field.name")}
        value=${name}
        error=${problem.name}
        maxlength="100"
        autocomplete="off"
        data-autofocus
        onInput=${(value) => {
          setName(value);
          setProblem({ name: "", other: "" });
        }}
      />
      ${problem.other && html`<p class="form__problem" role="alert">${problem.other}</p>`}
      <${PeoplePicker} chosen=${chosen} onChange=${setChosen} suggestions=${knownPeople(sortedChats.value)} />
    </form>
  </${Dialog}>`;
}
