/** Leaving a group. Its owner first says who owns it from now on, because no group with people is without one. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { chatTitle, displayName } from "../names.js";
import { PersonFace } from "../people/person-row.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { chatRevision, client, me } from "../state.js";
import { Button, confirmAction, Dialog, openDialog, showToast, VirtualList } from "../ui/index.js";

const ROW_REM = 3.5;

/** @param {import("chat-service-client").Chat} chat */
export async function leaveGroup(chat) {
  if (chat.myRole === "owner" && chat.participantCount > 1) {
    openDialog((close) => html`<${HandOverDialog} chatId=${chat.id} onClose=${close} />`);
    return;
  }
  const isSure = await confirmAction({
    title: t("details.leaveTitle", { name: chatTitle(chat) }),
    text: t("details.leaveText"),
    action: t("details.leave"),
    danger: true,
  });
  if (!isSure) return;
  try {
    await chat.leave();
    navigate(paths.home(), { replace: true });
  } catch (error) {
    showToast(errorSentence(error, "group"), { tone: "danger" });
  }
}

function HandOverDialog({ chatId, onClose }) {
  chatRevision(chatId).value;
  const chat = client.chats.get(chatId);
  const [heirId, setHeirId] = useState(/** @type {number | null} */ (null));
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const others = chat?.participants?.filter((one) => one.user_id !== me.value?.id) ?? [];

  const handOver = async () => {
    if (heirId === null) {
      setProblem(t("details.heir.missing"));
      return;
    }
    setBusy(true);
    try {
      // It may be done already, and only the leaving not.
      if (chat.myRole === "owner") await chat.setRole(heirId, "owner");
      await chat.leave();
      onClose();
      navigate(paths.home(), { replace: true });
    } catch (error) {
      setProblem(errorSentence(error, "group"));
      setBusy(false);
    }
  };

  return html`<${Dialog}
    title=${t("details.heir.title")}
    onClose=${onClose}
    footer=${html`
      <${Button} onClick=${onClose}>${t("action.cancel")}</${Button}>
      <${Button} variant="danger" busy=${isBusy} onClick=${handOver}>${t("details.heir.action")}</${Button}>
    `}
  >
    <p class="dialog__text">${t("details.heir.text")}</p>
    <fieldset class="heirs">
      <legend class="for-screen-reader">${t("details.heir.title")}</legend>
      <${VirtualList}
        items=${others}
        keyOf=${(one) => one.user_id}
        rowHeight=${ROW_REM}
        label=${t("details.heir.title")}
        renderRow=${(one, attributes) => html`<label class="person">
          <${PersonFace} user=${one} />
          <input
            type="radio"
            class="person__radio"
            name="heir"
            aria-label=${displayName(one)}
            checked=${one.user_id === heirId}
            ...${attributes}
            onChange=${() => {
              setHeirId(one.user_id);
              setProblem("");
            }}
          />
        </label>`}
      />
    </fieldset>
    ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
  </${Dialog}>`;
}
