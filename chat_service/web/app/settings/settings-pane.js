/** One section of the settings in the main pane. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { goBack } from "../router.js";
import { paths } from "../routes.js";
import { IconButton } from "../ui/index.js";
import { AppearanceSettings } from "./appearance-settings.js";
import { DevicesSettings } from "./devices-settings.js";
import { NotificationSettings } from "./notification-settings.js";
import { PasswordSettings } from "./password-settings.js";
import { ProfileSettings } from "./profile-settings.js";

const SECTIONS = {
  profile: ProfileSettings,
  appearance: AppearanceSettings,
  notifications: NotificationSettings,
  devices: DevicesSettings,
  password: PasswordSettings,
};

export function SettingsPane({ section }) {
  return html`<div class="settings">
    <header class="bar">
      <${IconButton} class="only-narrow" icon="back" label=${t("action.back")} onClick=${() => goBack(paths.settings(null))} />
      <h1 class="bar__title" tabindex="-1" data-route-focus>${t(`settings.${section}`)}</h1>
    </header>
    <div class="settings__body scrolls"><${SECTIONS[section]} key=${section} /></div>
  </div>`;
}
