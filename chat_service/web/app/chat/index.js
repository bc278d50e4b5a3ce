/** The open chat: `ChatView({chatId, onOpenDetails})`, and its keys for the sheet of shortcuts. */

export { ChatView } from "./chat-view.js";
export { CHAT_SHORTCUTS } from "./shortcuts.js";
