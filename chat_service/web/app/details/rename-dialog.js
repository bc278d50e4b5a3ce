/** Giving a group another name. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { errorSentence, fieldErrors } from "../errors.js";
import { t } from "../i18n.js";
import { Button, Dialog, TextField } from "../ui/index.js";

export function RenameDialog({ chat, onClose }) {
  const [name, setName] = useState(chat.name ?? "");
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);

  const save = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    if (!name.trim()) {
      setProblem(t("field.name.missing"));
      return;
    }
    setBusy(true);
    try {
      await chat.rename(name.trim());
      onClose();
    } catch (error) {
      setProblem(fieldErrors(error, ["name"]).name ?? errorSentence(error, "group"));
      setBusy(false);
    }
  };

  return html`<${Dialog}
    title=${t("details.rename")}
    size="small"
    onClose=${onClose}
    footer=${html`
      <${Button} onClick=${onClose}>${t("action.cancel")}</${Button}>
      <${Button} variant="primary" type="submit" form="rename" busy=${isBusy}>${t("action.save")}</${Button}>
    `}
  >
    <form id="rename" onSubmit=${save}>
      <${TextField}
        label=${t("field.name")}
        value=${name}
        error=${problem}
        maxlength="100"
        autocomplete="off"
        data-autofocus
        onInput=${(value) => {
          setName(value);
          setProblem("");
        }}
      />
    </form>
  </${Dialog}>`;
}
