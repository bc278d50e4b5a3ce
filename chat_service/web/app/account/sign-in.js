/** Signing in. After a session that ended it says why, and leads back to where one was. */

import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { hasText, t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { paths } from "../routes.js";
import { client, info, signedOutReason } from "../state.js";
import { announce, Button, Icon, TextField } from "../ui/index.js";
import { AccountFrame } from "./account-frame.js";
import { PASSWORD_FIELD_CHARS } from "./passwords.js";
import { useForm } from "./use-form.js";

export function SignIn() {
  const { form, onSubmit, field, problem, isBusy } = useForm(
    { username: "", password: "" },
    {
      occasion: "signIn",
      fields: [],
      check: ({ username, password }) => ({
        ...(!username.trim() && { username: t("field.login.missing") }),
        ...(!password && { password: t("field.password.missing") }),
      }),
      submit: ({ username, password }) => client.signIn(username.trim(), password),
    },
  );
  const reason = signedOutReason.value;
  const why = reason && t(hasText(`signedOut.${reason}`) ? `signedOut.${reason}` : "signedOut.other");
  // It is there from the beginning, so no screen reader would say it by itself.
  useEffect(() => {
    if (why) announce(why);
  }, [why]);
  const isClosed = info.value?.features.includes("registration_closed");

  return html`<${AccountFrame} title=${t("signIn.title")}>
    ${why &&
    html`<p class="notice">
      <${Icon} name="info" size=${18} />
      <span>${why}</span>
    </p>`}
    <form ref=${form} class="form" onSubmit=${onSubmit} novalidate>
      <${TextField}
        label=${t("field.login")}
        autocomplete="username"
        autocapitalize="none"
        spellcheck=${false}
        maxlength="254"
        ...${field("username")}
      />
      <${TextField} label=${t("field.password")} type="password" autocomplete="current-password" maxlength=${PASSWORD_FIELD_CHARS} ...${field("password")} />
      ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
      <${Button} variant="primary" size="large" type="submit" wide busy=${isBusy}>${t("signIn.action")}</${Button}>
    </form>
    ${!isClosed && html`<p class="account__other">${t("signIn.noAccount")} <a href=${hrefOf(paths.signUp())}>${t("signUp.action")}</a></p>`}
  </${AccountFrame}>`;
}
