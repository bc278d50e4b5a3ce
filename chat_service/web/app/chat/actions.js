/** What the reader may do with a message, by their role, and how each action is carried out. */

import { copyText } from "../clipboard.js";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { me } from "../state.js";
import { confirmAction, showToast } from "../ui/index.js";

export class Actions {
  #open;

  /** @param {import("./open-chat.js").OpenChat} open */
  constructor(open) {
    this.#open = open;
  }

  get menuLabel() {
    return t("chat.action.menu");
  }

  /**
   * The menu of a message.
   *
   * @returns {({label: string, icon?: string, onSelect: () => void, danger?: boolean} | "separator")[]}
   */
  list(message) {
    const open = this.#open;
    const groups = [
      [
        this.canReply(message) && item("reply", "reply", () => open.composing.replyTo(message)),
        message.reply_to && !message.is_deleted && item("original", "up", () => open.goToMessage(message.reply_to.seq)),
        !message.is_deleted && item("copy", "copy", () => copyText(message.content)),
        this.canEdit(message) && item("edit", "edit", () => open.composing.edit(message)),
      ],
      [
        message.is_edited && !message.is_deleted && item("history", "history", () => open.showRevisions(message)),
        isStored(message) && open.chat.type === "group" && !message.is_deleted &&
          item("readers", "eye", () => open.showReaders(message)),
      ],
      [
        message.state === "failed" && item("retry", "retry", () => open.chat.retry(message)),
        message.state === "failed" && item("discard", "delete", () => this.discard(message), true),
        isStored(message) && item("deleteForMe", "eye-off", () => this.#delete(message, "me"), true),
        this.canDeleteForEveryone(message) && item("deleteForEveryone", "delete", () => this.#delete(message, "everyone"), true),
      ],
    ];
    const filled = groups.map((group) => group.filter(Boolean)).filter((group) => group.length > 0);
    return filled.flatMap((group, at) => (at === 0 ? group : ["separator", ...group]));
  }

  canReply(message) {
    return isStored(message) && !message.is_deleted;
  }

  canEdit(message) {
    return isStored(message) && !message.is_deleted && isMine(message);
  }

  canDeleteForEveryone(message) {
    if (!isStored(message) || message.is_deleted) return false;
    const { type, myRole } = this.#open.chat;
    return isMine(message) || (type === "group" && (myRole === "owner" || myRole === "admin"));
  }

  /** Removes a message that was refused. */
  async discard(message) {
    const sure = await confirmAction({
      title: t("chat.confirm.discard"),
      text: t("chat.confirm.discardText"),
      action: t("chat.action.discard"),
      danger: true,
    });
    if (sure) this.#open.chat.discard(message);
  }

  async #delete(message, scope) {
    const forMe = scope === "me";
    const sure = await confirmAction({
      title: t(forMe ? "chat.confirm.deleteForMe" : "chat.confirm.deleteForEveryone"),
      text: t(forMe ? "chat.confirm.deleteForMeText" : "chat.confirm.deleteForEveryoneText"),
      action: t("chat.confirm.delete"),
      danger: true,
    });
    if (!sure) return;
    try {
      await this.#open.chat.delete(message, scope);
    } catch (error) {
      showToast(errorSentence(error, "delete"), { tone: "danger" });
    }
  }
}

function item(name, icon, onSelect, danger = false) {
  return { label: t(`chat.action.${name}`), icon, onSelect, danger };
}

function isStored(message) {
  return message.seq !== null;
}

function isMine(message) {
  return message.sender_id === me.peek()?.id;
}
