/** The left pane while one is in the settings: its sections, and the way out. */

import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { signOutHere } from "../account/sign-out.js";
import { openShortcuts } from "../dialogs.js";
import { t } from "../i18n.js";
import { displayName } from "../names.js";
import { hrefOf, navigate } from "../router.js";
import { paths, SETTINGS_SECTIONS } from "../routes.js";
import { me } from "../state.js";
import { Icon, IconButton, useRovingFocus, UserAvatar, UserText } from "../ui/index.js";
import { isWide } from "../window-size.js";

const ICONS = { profile: "person", appearance: "palette", notifications: "bell", devices: "devices", password: "lock" };

export function SettingsList({ section }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useRovingFocus(list, { selector: ".settings-item" });
  const user = me.value;
  // Beside the list the first section is in view until another one is chosen.
  const shown = section ?? (isWide.value ? SETTINGS_SECTIONS[0] : null);
  if (!user) return null;
  return html`
    <div class="bar">
      <${IconButton} icon="back" label=${t("settings.backToChats")} onClick=${() => navigate(paths.home())} />
      <h1 class="bar__title" tabindex="-1" data-route-focus>${t("settings.title")}</h1>
    </div>
    <nav ref=${list} class="settings-list scrolls" aria-label=${t("settings.title")}>
      <div class="settings-list__me">
        <${UserAvatar} user=${user} size="large" />
        <span class="person__names">
          <${UserText} class="settings-list__name one-line" text=${displayName(user)} />
          <span class="person__note one-line"><bdi>@${user.username}</bdi></span>
        </span>
      </div>
      ${SETTINGS_SECTIONS.map(
        (name) => html`<a
          key=${name}
          class="settings-item"
          href=${hrefOf(paths.settings(name))}
          data-replace=${section ? "" : undefined}
          aria-current=${name === shown ? "page" : undefined}
        >
          <${Icon} name=${ICONS[name]} /><span>${t(`settings.${name}`)}</span>
        </a>`,
      )}
      <button type="button" class="settings-item" onClick=${() => openShortcuts()}>
        <${Icon} name="keyboard" /><span>${t("shortcuts.title")}</span>
      </button>
      <button type="button" class="settings-item settings-item--danger" onClick=${signOutHere}>
        <${Icon} name="sign-out" /><span>${t("signOut.action")}</span>
      </button>
    </nav>
  `;
}
