/** The choice of the language; each is written in itself, so that it can be found in the wrong one. */

import { html } from "htm/preact";
import { loadLanguage, preferredLanguage, t } from "../i18n.js";
import { offerRetry } from "../lazy.js";
import { setChosenLanguage } from "../preferences.js";
import { locale } from "../state.js";
import { ChoiceList } from "../ui/index.js";

const NAMES = [
  { value: "en", label: "English", lang: "en" },
  { value: "vi", label: "Tiếng Việt", lang: "vi" },
];

/** @param {{hideLabel?: boolean}} props */
export function LanguageChoice({ hideLabel }) {
  return html`<${ChoiceList}
    label=${t("settings.language")}
    hideLabel=${hideLabel}
    value=${locale.value}
    options=${NAMES}
    onChange=${choose}
  />`;
}

/** Loads it too: one that could not be loaded before is chosen already, so nothing else would. */
function choose(language) {
  setChosenLanguage(language);
  const load = () => loadLanguage(preferredLanguage());
  load().catch(() => offerRetry(load));
}
