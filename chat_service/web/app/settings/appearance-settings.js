/** How the client looks in this browser: theme and language. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { setTheme, THEMES } from "../preferences.js";
import { theme } from "../state.js";
import { ChoiceList } from "../ui/index.js";
import { LanguageChoice } from "./language-choice.js";

export function AppearanceSettings() {
  return html`<div class="form settings__form">
    <${ChoiceList}
      label=${t("settings.theme")}
      value=${theme.value}
      options=${THEMES.map((value) => ({ value, label: t(`settings.theme.${value}`) }))}
      onChange=${setTheme}
    />
    <${LanguageChoice} />
    <p class="settings__text">${t("settings.thisBrowser")}</p>
  </div>`;
}
