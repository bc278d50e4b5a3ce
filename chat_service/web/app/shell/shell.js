/**
 * The frame around everything that one does while signed in: the list beside the chat on wide windows, one of
 * them at a time on narrow ones. Which one is decided by the route, and drawn by shell.css.
 */

import { html } from "htm/preact";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { route } from "../state.js";
import { withStyle } from "../styles.js";
import { isWide } from "../window-size.js";
import { Boundary } from "./boundary.js";
import { ChatPane } from "./chat-pane.js";
import { ConnectionLine } from "./connection-line.js";
import { HomePane, UnknownPane } from "./other-panes.js";
import { useRouteFocus } from "./route-focus.js";
import { useShortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";

const SettingsList = lazy(withStyle(() => import("../settings/settings-list.js"), "panels"), "SettingsList");
const SettingsPane = lazy(withStyle(() => import("../settings/settings-pane.js"), "panels"), "SettingsPane");

export function Shell() {
  const place = route.value;
  const isSettings = place.name === "settings";
  const pane = paneOf(place);
  // Where only one pane is in view, it is what the page is about.
  const sidebarRole = pane === "list" && !isWide.value ? "main" : "complementary";
  const boundaryKey = place.name === "chat" ? place.chatId : place.name;
  useRouteFocus();
  useShortcuts();
  return html`<div class="shell" data-pane=${pane}>
    <a class="skip-link" href="#main" onClick=${focusMain}>${t("shell.skipToContent")}</a>
    <div class="shell__sidebar" role=${sidebarRole} aria-label=${t("chats.title")} hidden=${isSettings}><${Boundary}><${Sidebar} /></${Boundary}></div>
    ${isSettings && html`<div class="shell__sidebar" role=${sidebarRole} aria-label=${t("settings.title")}><${SettingsList} section=${place.section} /></div>`}
    <${ConnectionLine} floating />
    <main class="shell__main" id="main" tabindex="-1"><${Boundary} key=${boundaryKey}><${MainPane} place=${place} /></${Boundary}></main>
  </div>`;
}

function MainPane({ place }) {
  if (place.name === "chat") return html`<${ChatPane} key=${place.chatId} chatId=${place.chatId} details=${place.details} />`;
  if (place.name === "settings") return html`<${SettingsPane} section=${place.section ?? "profile"} />`;
  return place.name === "unknown" ? html`<${UnknownPane} />` : html`<${HomePane} />`;
}

/** What a narrow window shows. */
function paneOf(place) {
  if (place.name === "home") return "list";
  if (place.name === "settings") return place.section ? "main" : "list";
  return place.name === "chat" && place.details ? "details" : "main";
}

/** The address is the route, so the link must not change it. */
function focusMain(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
