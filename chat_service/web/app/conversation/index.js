/** The open chat: `Conversation({chatId, onOpenDetails})`, and its keys for the sheet of shortcuts. */

export { Conversation } from "./conversation.js";
export { CONVERSATION_SHORTCUTS } from "./shortcuts.js";
