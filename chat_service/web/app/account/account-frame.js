/** The page around the forms of those who are not signed in: the mark, a card, and the choice of the language. */

import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n.js";
import { LanguageChoice } from "../settings/language-choice.js";
import { Logo } from "./logo.js";

/** @param {{title: string, text?: string, children?: unknown}} props */
export function AccountFrame({ title, text, children }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // What had the focus is gone with the page before; a field that has it by now keeps it.
    if (document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
  }, []);
  return html`<div class="account scrolls">
    <main class="account__card">
      <${Logo} />
      <h1 ref=${heading} class="account__title" tabindex="-1" data-route-focus>${title}</h1>
      ${text && html`<p class="account__text">${text}</p>`}
      ${children}
    </main>
    <footer class="account__footer" aria-label=${t("settings.language")}><${LanguageChoice} hideLabel /></footer>
  </div>`;
}
