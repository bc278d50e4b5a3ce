/** The dialogs that are opened from several places; each is loaded when it is first wanted. */

import { lazyDialog } from "./lazy.js";
import { withStyle } from "./styles.js";

/** Begins a direct chat or a group. */
export const openNewChat = lazyDialog(withStyle(() => import("./chats/new-chat-dialog.js"), "panels"), "NewChatDialog");

/** Lists the keyboard shortcuts. */
export const openShortcuts = lazyDialog(withStyle(() => import("./shell/shortcuts-sheet.js"), "panels"), "ShortcutsSheet");

/** Adds people to a group: {chat}. */
export const openAddPeople = lazyDialog(withStyle(() => import("./details/add-people-dialog.js"), "panels"), "AddPeopleDialog");

/** Gives a group another name: {chat}. */
export const openRename = lazyDialog(withStyle(() => import("./details/rename-dialog.js"), "panels"), "RenameDialog");
