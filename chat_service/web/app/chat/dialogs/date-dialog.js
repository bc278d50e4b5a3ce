/** Asks for a date and finds the first message of that day, or the one after it. */

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { errorSentence } from "../../errors.js";
import { t } from "../../i18n.js";
import { Button, Dialog, TextField } from "../../ui/index.js";

/** @param {{chat: any, onFound: (seq: number) => void, onClose: () => void}} props */
export function DateDialog({ chat, onFound, onClose }) {
  const date = useSignal("");
  const isBusy = useSignal(false);
  const error = useSignal("");
  const today = new Date();

  const find = async (event) => {
    event.preventDefault();
    const day = parseDay(date.value);
    if (day === null) {
      error.value = t("chat.date.missing");
      return;
    }
    isBusy.value = true;
    try {
      const seq = await chat.seqAt(day);
      onClose();
      onFound(seq);
    } catch (reason) {
      error.value = errorSentence(reason);
      isBusy.value = false;
    }
  };
  const goToFirst = () => {
    onClose();
    onFound(1);
  };

  return html`<${Dialog}
    title=${t("chat.date.title")}
    size="small"
    onClose=${onClose}
    footer=${html`
      <${Button} variant="plain" onClick=${goToFirst}>${t("chat.date.first")}</${Button}>
      <${Button} variant="primary" type="submit" form="date-form" busy=${isBusy.value}>${t("chat.date.go")}</${Button}>
    `}
  >
    <form id="date-form" onSubmit=${find}>
      <${TextField}
        label=${t("chat.date.label")}
        type="date"
        max=${dayText(today)}
        value=${date.value}
        error=${error.value}
        data-autofocus
        onInput=${(value) => {
          date.value = value;
          error.value = "";
        }}
      />
    </form>
  </${Dialog}>`;
}

/** Midnight of that day where the reader is. */
function parseDay(text) {
  const found = /^(\d{4,6})-(\d\d)-(\d\d)$/.exec(text);
  return found === null ? null : new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3]));
}

function dayText(date) {
  const pad = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}
