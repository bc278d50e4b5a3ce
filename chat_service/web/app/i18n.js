/**
 * The words of the interface. `t("key", {name})` gives the sentence in the active language; a sentence that
 * depends on a number is an object of plural forms chosen by `count`. Only the active language is loaded.
 * Reading `locale` or calling `t` while a component renders makes it render again when the language changes.
 */

import { signal } from "@preact/signals";
import { chosenLanguage, LANGUAGES } from "./preferences.js";

/** @typedef {string | Record<string, string>} Entry a sentence, or its plural forms by Intl.PluralRules category */

/** The active language. */
export const locale = signal(/** @type {"en" | "vi"} */ ("en"));

const entries = signal(/** @type {Record<string, Entry>} */ ({}));
let plurals = new Intl.PluralRules("en");
let numbers = new Intl.NumberFormat("en");

/** The language to use: the chosen one, else the first of the browser's that there is, else English. */
export function preferredLanguage() {
  if (chosenLanguage.value) return chosenLanguage.value;
  for (const wished of navigator.languages ?? [navigator.language]) {
    const found = LANGUAGES.find((language) => language === wished.toLowerCase().split("-")[0]);
    if (found) return found;
  }
  return "en";
}

let wanted = "";

/** Loads a language and makes it the active one, unless another one was asked for meanwhile; rejects, and changes
 * nothing, when it cannot be loaded. */
export async function loadLanguage(language) {
  wanted = language;
  const loaded = await import(`../i18n/${language}.js`);
  if (language !== wanted) return;
  plurals = new Intl.PluralRules(language);
  numbers = new Intl.NumberFormat(language);
  document.documentElement.lang = language;
  locale.value = language;
  entries.value = loaded.default;
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [params] numbers are written in the way of the language
 */
export function t(key, params) {
  const entry = entries.value[key];
  if (entry === undefined) return key;
  const sentence = typeof entry === "string" ? entry : entry[formFor(entry, Number(params?.count))];
  if (!params) return sentence;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/** An entry may say `zero` in its own way in any language; otherwise the language decides. */
function formFor(entry, count) {
  if (count === 0 && "zero" in entry) return "zero";
  const form = plurals.select(count);
  return form in entry ? form : "other";
}

/** True where there is a sentence of that name. */
export function hasText(key) {
  return key in entries.value;
}

export function formatNumber(value) {
  return locale.value && numbers.format(value);
}

/** "An, Mai and 3 others" is put together by the language: this joins the parts. */
export function formatList(parts) {
  return new Intl.ListFormat(locale.value, { type: "conjunction" }).format(parts);
}
