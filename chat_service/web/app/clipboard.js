/** The clipboard, with a word about whether it took the text. */

import { t } from "./i18n.js";
import { showToast } from "./ui/index.js";

/** @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    showToast(t("chat.copied"));
  } catch {
    showToast(t("chat.copyFailed"), { tone: "danger" });
  }
}
