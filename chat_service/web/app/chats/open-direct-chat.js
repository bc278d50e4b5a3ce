/** Goes to the direct chat with somebody, which is made if there is none yet. */

import { errorSentence } from "../errors.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { client } from "../state.js";
import { showToast } from "../ui/index.js";

/** @param {number} userId @returns {Promise<boolean>} false where it was refused; a toast has said why */
export async function openDirectChat(userId) {
  try {
    const chat = await client.openDirect(userId);
    navigate(paths.chat(chat.id));
    return true;
  } catch (error) {
    showToast(errorSentence(error, "person"), { tone: "danger" });
    return false;
  }
}
