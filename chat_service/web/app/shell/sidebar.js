/** The left pane: who one is, search, and the list of chats. */

import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { ChatList } from "../chats/chat-list.js";
import { openNewChat, openShortcuts } from "../dialogs.js";
import { t } from "../i18n.js";
import { displayName } from "../names.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { me } from "../state.js";
import { IconButton, isComposing, openMenu, SearchField, UserAvatar } from "../ui/index.js";
import { ConnectionLine } from "./connection-line.js";
import { signOutHere } from "../account/sign-out.js";

export function Sidebar() {
  const [query, setQuery] = useState("");
  const list = useRef(/** @type {{focusFirst: () => void, openFirst: () => void} | null} */ (null));

  const onSearchKey = (event) => {
    if (isComposing(event)) return;
    if (event.key === "ArrowDown") list.current?.focusFirst();
    else if (event.key === "Enter") list.current?.openFirst();
    else if (event.key === "Escape" && query) setQuery("");
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return html`
    <div class="bar sidebar__bar">
      <${OwnMenuButton} />
      <h1 class="bar__title" tabindex="-1" data-route-focus>${t("chats.title")}</h1>
      <${IconButton} class="icon-button--accent" icon="add" label=${t("newChat.title")} onClick=${openNewChat} />
    </div>
    <search class="sidebar__search">
      <${SearchField}
        label=${t("chats.search")}
        data-shortcut="search"
        value=${query}
        onInput=${setQuery}
        onKeyDown=${onSearchKey}
      />
    </search>
    <${ConnectionLine} />
    <${ChatList} query=${query.trim()} onChosen=${() => setQuery("")} listRef=${list} />
  `;
}

function OwnMenuButton() {
  const user = me.value;
  if (!user) return null;
  const label = t("shell.ownMenu", { name: displayName(user) });
  const open = (event) =>
    openMenu({
      anchor: event.currentTarget,
      label,
      items: [
        { label: t("settings.profile"), hint: `@${user.username}`, icon: "person", onSelect: () => navigate(paths.settings("profile")) },
        { label: t("settings.title"), icon: "settings", onSelect: () => navigate(paths.settings(null)) },
        { label: t("shortcuts.title"), icon: "keyboard", onSelect: openShortcuts },
        "separator",
        { label: t("signOut.action"), icon: "sign-out", onSelect: signOutHere },
      ],
    });
  return html`<button type="button" class="own-menu" aria-haspopup="menu" aria-expanded="false" aria-label=${label} data-tooltip=${displayName(user)} onClick=${open}>
    <${UserAvatar} user=${user} size="small" />
  </button>`;
}
