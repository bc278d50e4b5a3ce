/** The choice of the language; each is written in itself, so that it can be found in the wrong one. */

import { html } from "htm/preact";
import { t } from "../i18n.js";
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
    onChange=${setChosenLanguage}
  />`;
}
