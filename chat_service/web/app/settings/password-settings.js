/** Changing the password, which ends every other session. */

import { html } from "htm/preact";
import { isGoodPassword, PASSWORD_FIELD_CHARS } from "../account/passwords.js";
import { useForm } from "../account/use-form.js";
import { t } from "../i18n.js";
import { client, me } from "../state.js";
import { Button, showToast, TextField } from "../ui/index.js";

const EMPTY = { current_password: "", new_password: "" };

export function PasswordSettings() {
  const { form, onSubmit, field, problem, isBusy, setValues } = useForm(EMPTY, {
    occasion: "password",
    check: ({ current_password, new_password }) => ({
      ...(!current_password && { current_password: t("field.password.missing") }),
      ...(!isGoodPassword(new_password) && { new_password: t("field.password.wrong") }),
    }),
    submit: async ({ current_password, new_password }) => {
      await client.changePassword(current_password, new_password);
      setValues(EMPTY);
      showToast(t("password.changed"));
    },
  });
  return html`<form ref=${form} class="form settings__form" onSubmit=${onSubmit} novalidate>
    <p class="settings__text">${t("password.text")}</p>
    <input class="for-screen-reader" type="text" autocomplete="username" value=${me.value?.username} readonly tabindex="-1" aria-hidden="true" />
    <${TextField} label=${t("field.current_password")} type="password" autocomplete="current-password" maxlength=${PASSWORD_FIELD_CHARS} ...${field("current_password")} />
    <${TextField}
      label=${t("field.new_password")}
      hint=${t("field.password.hint")}
      type="password"
      autocomplete="new-password"
      maxlength=${PASSWORD_FIELD_CHARS}
      ...${field("new_password")}
    />
    ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
    <div class="form__actions"><${Button} variant="primary" type="submit" busy=${isBusy}>${t("password.action")}</${Button}></div>
  </form>`;
}
