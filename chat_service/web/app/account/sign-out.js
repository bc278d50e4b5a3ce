/** Signing out of this browser. What waits to be sent would be lost with it, so that is asked first. */

import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { navigate } from "../router.js";
import { paths } from "../routes.js";
import { client } from "../state.js";
import { confirmAction, showToast } from "../ui/index.js";

export async function signOutHere() {
  if (await mayLosePending()) await leave(() => client.signOut());
}

export async function signOutEverywhere() {
  const isSure = await confirmAction({
    title: t("devices.everywhereTitle"),
    text: t("devices.everywhereText"),
    action: t("devices.everywhere"),
    danger: true,
  });
  if (isSure && (await mayLosePending())) await leave(() => client.signOutEverywhere());
}

async function leave(signOut) {
  try {
    await signOut();
    navigate(paths.signIn(null), { replace: true });
  } catch (error) {
    showToast(errorSentence(error), { tone: "danger" });
  }
}

async function mayLosePending() {
  const count = client.sortedChats().reduce((sum, chat) => sum + chat.pending.length, 0);
  if (!count) return true;
  return confirmAction({
    title: t("signOut.pendingTitle"),
    text: t("signOut.pendingText", { count }),
    action: t("signOut.action"),
    danger: true,
  });
}
