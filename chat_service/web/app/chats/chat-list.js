/** The list of chats, filtered by what is searched; below the matches the people with whom one could begin one. */

import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { openNewChat } from "../dialogs.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { chatTitle, matchesQuery } from "../names.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { chatsLoaded, route, sortedChats } from "../state.js";
import { Button, EmptyState, Skeleton, VirtualList } from "../ui/index.js";
import { ChatRow } from "./chat-row.js";

const FoundPeople = lazy(() => import("./found-people.js"), "FoundPeople");

const ROW_REM = 4.75;
const SKELETON_ROWS = 8;

/** @param {{query: string, onChosen: () => void, listRef: {current: unknown}}} props `listRef` gets {focusFirst, openFirst} */
export function ChatList({ query, onChosen, listRef }) {
  const rows = useRef(/** @type {{focusFirst: () => void} | null} */ (null));
  const all = sortedChats.value;
  const chats = query ? all.filter((chat) => matchesQuery(searchedText(chat), query)) : all;
  const place = route.value;
  listRef.current = {
    focusFirst: () => rows.current?.focusFirst(),
    openFirst: () => {
      if (!chats.length) return;
      navigate(paths.chat(chats[0].id));
      onChosen();
    },
  };

  if (!chatsLoaded.value && !all.length) return html`<${ChatListSkeleton} />`;
  if (!all.length && !query) return html`<${NoChats} />`;
  return html`<nav class="chat-list" aria-label=${t("chats.title")}>
    <${VirtualList}
      items=${chats}
      keyOf=${(chat) => chat.id}
      rowHeight=${ROW_REM}
      label=${t("chats.title")}
      currentKey=${place.name === "chat" ? place.chatId : null}
      listRef=${rows}
      renderRow=${(chat, attributes) => html`<${ChatRow} chat=${chat} attributes=${attributes} onChosen=${onChosen} />`}
      footer=${query && html`<${FoundPeople} query=${query} hasChats=${chats.length > 0} onChosen=${onChosen} />`}
    />
  </nav>`;
}

/** A direct chat is also found by the username. */
function searchedText(chat) {
  return chat.peer ? `${chatTitle(chat)} ${chat.peer.username}` : chatTitle(chat);
}

function NoChats() {
  return html`<div class="chat-list">
    <${EmptyState} icon="chat" title=${t("chats.emptyTitle")} text=${t("chats.emptyText")}>
      <${Button} icon="person-add" onClick=${openNewChat}>${t("chats.emptyAction")}</${Button}>
    </${EmptyState}>
  </div>`;
}

function ChatListSkeleton() {
  return html`<div class="chat-list" aria-busy="true">
    <span class="for-screen-reader" role="status">${t("chats.loading")}</span>
    ${Array.from(
      { length: SKELETON_ROWS },
      (_, index) => html`<div class="chat-row chat-row--skeleton" key=${index}>
        <${Skeleton} shape="circle" />
        <span class="chat-row__lines"><${Skeleton} width=${`${40 + ((index * 17) % 30)}%`} /><${Skeleton} width=${`${60 + ((index * 13) % 35)}%`} /></span>
      </div>`,
    )}
  </div>`;
}
