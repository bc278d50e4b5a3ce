/** What others see of oneself, and how one can be reached. */

import { html } from "htm/preact";
import { useForm } from "../account/use-form.js";
import { t } from "../i18n.js";
import { client, me } from "../state.js";
import { Button, showToast, TextField, UserAvatar } from "../ui/index.js";

export function ProfileSettings() {
  const user = me.value;
  const { form, onSubmit, field, problem, isBusy, values } = useForm(
    { full_name: user?.full_name ?? "", bio: user?.bio ?? "", phone: user?.phone ?? "" },
    {
      submit: async ({ full_name, bio, phone }) => {
        await client.updateProfile({ full_name: full_name.trim() || null, bio: bio.trim() || null, phone: phone.trim() || null });
        showToast(t("settings.saved"));
      },
    },
  );
  if (!user) return null;
  return html`<form ref=${form} class="form settings__form" onSubmit=${onSubmit} novalidate>
    <div class="profile-head">
      <${UserAvatar} user=${{ ...user, full_name: values.full_name.trim() || null }} size="huge" />
      <div class="profile-head__words">
        <p class="profile-head__login"><bdi>@${user.username}</bdi></p>
        <p class="settings__text"><bdi>${user.email}</bdi></p>
        <p class="field__hint">${t("settings.profileText")}</p>
      </div>
    </div>
    <${TextField} label=${t("field.full_name")} autocomplete="name" maxlength="100" ...${field("full_name")} />
    <${TextField} label=${t("field.bio")} lines=${3} maxlength="500" ...${field("bio")} />
    <${TextField} label=${t("field.phone")} hint=${t("field.phone.hint")} type="tel" autocomplete="tel" maxlength="32" ...${field("phone")} />
    ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
    <div class="form__actions"><${Button} variant="primary" type="submit" busy=${isBusy}>${t("action.save")}</${Button}></div>
  </form>`;
}
