/** The sheet that lists the keyboard shortcuts. */

import { html } from "htm/preact";
import { CHAT_SHORTCUTS } from "../chat/index.js";
import { t } from "../i18n.js";
import { Dialog } from "../ui/index.js";
import { isApple, SHORTCUT_GROUPS } from "./shortcuts.js";

const APPLE_KEYS = { Ctrl: "⌘", Alt: "⌥" };

export function ShortcutsSheet({ onClose }) {
  return html`<${Dialog} title=${t("shortcuts.title")} size="large" onClose=${onClose}>
    <div class="shortcuts" tabindex="0" role="group" aria-label=${t("shortcuts.title")}>
      ${[...SHORTCUT_GROUPS, CHAT_SHORTCUTS].map(
        (group) => html`<section class="shortcuts__group" key=${group.title}>
          <h3 class="shortcuts__title">${t(group.title)}</h3>
          <dl class="shortcuts__list">
            ${group.shortcuts.map(
              ({ keys, text }) => html`<div class="shortcuts__item" key=${text}>
                <dt>${keys.map((key) => html`<kbd class="key">${(isApple && APPLE_KEYS[key]) || key}</kbd>`)}</dt>
                <dd>${t(text)}</dd>
              </div>`,
            )}
          </dl>
        </section>`,
      )}
    </div>
  </${Dialog}>`;
}
