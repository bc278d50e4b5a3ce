/** Making an account, which signs in at once. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { paths } from "../routes.js";
import { client } from "../state.js";
import { Button, TextField } from "../ui/index.js";
import { AccountFrame } from "./account-frame.js";
import { isGoodPassword, PASSWORD_FIELD_CHARS } from "./passwords.js";
import { useForm } from "./use-form.js";

export function SignUp() {
  const { form, onSubmit, field, problem, isBusy } = useForm(
    { username: "", full_name: "", email: "", password: "" },
    {
      occasion: "signUp",
      check: ({ username, email, password }) => ({
        ...(!username.trim() && { username: t("field.username.missing") }),
        ...(!email.trim() && { email: t("field.email.missing") }),
        ...(!isGoodPassword(password) && { password: t("field.password.wrong") }),
      }),
      submit: ({ username, full_name, email, password }) =>
        client.register({ username: username.trim(), full_name: full_name.trim() || undefined, email: email.trim(), password }),
    },
  );

  return html`<${AccountFrame} title=${t("signUp.title")} text=${t("signUp.text")}>
    <form ref=${form} class="form" onSubmit=${onSubmit} novalidate>
      <${TextField}
        label=${t("field.username")}
        hint=${t("field.username.hint")}
        autocomplete="username"
        autocapitalize="none"
        spellcheck=${false}
        maxlength="32"
        ...${field("username")}
      />
      <${TextField} label=${t("field.fullNameOptional")} autocomplete="name" maxlength="100" ...${field("full_name")} />
      <${TextField} label=${t("field.email")} type="email" autocomplete="email" maxlength="254" ...${field("email")} />
      <${TextField}
        label=${t("field.password")}
        hint=${t("field.password.hint")}
        type="password"
        autocomplete="new-password"
        maxlength=${PASSWORD_FIELD_CHARS}
        ...${field("password")}
      />
      ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
      <${Button} variant="primary" size="large" type="submit" wide busy=${isBusy}>${t("signUp.action")}</${Button}>
    </form>
    <p class="account__other">${t("signUp.haveAccount")} <a href=${hrefOf(paths.signIn(null))}>${t("signIn.action")}</a></p>
  </${AccountFrame}>`;
}
