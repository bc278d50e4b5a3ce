/** One open chat: header, history and composer around what they share. */

import { html } from "htm/preact";
import { useEffect, useMemo } from "preact/hooks";
import { client } from "../state.js";
import { Composer } from "./composer/composer.js";
import { ChatHeader } from "./header.js";
import { HistoryPane } from "./history/history-pane.js";
import { OpenChat } from "./open-chat.js";

/** @param {{chatId: number, onOpenDetails: () => void}} props where there is no such chat, the shell says so */
export function ChatView({ chatId, onOpenDetails }) {
  const chat = client.chats.get(chatId);
  if (!chat) return null;
  return html`<${ChatViewOf} key=${chatId} chat=${chat} onOpenDetails=${onOpenDetails} />`;
}

function ChatViewOf({ chat, onOpenDetails }) {
  const open = useMemo(() => new OpenChat(chat), [chat]);
  useEffect(() => {
    open.start();
    return () => open.stop();
  }, [open]);
  return html`<section class="chat">
    <${ChatHeader} open=${open} onOpenDetails=${onOpenDetails} />
    <${HistoryPane} open=${open} />
    <${Composer} open=${open} />
    <${Announcements} announcer=${open.announcer} />
  </section>`;
}

function Announcements({ announcer }) {
  return html`<div class="for-screen-reader" role="log" aria-live="polite" aria-relevant="additions">
    ${announcer.lines.value.map(({ id, text }) => html`<p key=${id} dir="auto">${text}</p>`)}
  </div>`;
}
