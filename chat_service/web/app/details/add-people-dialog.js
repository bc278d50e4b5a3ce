/** Adding people to a group. Who is in it already is shown as such. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { knownPeople, PeoplePicker } from "../people/people-picker.js";
import { chatRevision, sortedChats } from "../state.js";
import { Button, Dialog, showToast } from "../ui/index.js";

/** @import {User} from "../../sdk/types.js" */

export function AddPeopleDialog({ chat, onClose }) {
  chatRevision(chat.id).value;
  const [chosen, setChosen] = useState(/** @type {User[]} */ ([]));
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const present = new Set(chat.participants?.map((one) => one.user_id));

  const add = async () => {
    if (isBusy) return;
    if (!chosen.length) {
      setProblem(t("details.add.missing"));
      return;
    }
    setBusy(true);
    try {
      await chat.addParticipants(chosen.map((user) => user.id));
      showToast(t("details.add.done", { count: chosen.length }));
      onClose();
    } catch (error) {
      setProblem(errorSentence(error, "people"));
      setBusy(false);
    }
  };

  return html`<${Dialog}
    title=${t("details.addPeople")}
    class="dialog--tall"
    onClose=${onClose}
    footer=${html`
      <${Button} onClick=${onClose}>${t("action.cancel")}</${Button}>
      <${Button} variant="primary" busy=${isBusy} onClick=${add}>${t("details.add.action", { count: chosen.length })}</${Button}>
    `}
  >
    <${PeoplePicker}
      chosen=${chosen}
      onChange=${(people) => {
        setChosen(people);
        setProblem("");
      }}
      suggestions=${knownPeople(sortedChats.value)}
      isTaken=${(user) => present.has(user.id)}
      takenNote=${t("details.add.taken")}
    />
    ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
  </${Dialog}>`;
}
