/** The title of the page: how much is unread, where one is, and whose page this is. */

import { effect } from "@preact/signals";
import { formatNumber, t } from "./i18n.js";
import { chatTitle } from "./names.js";
import { chatRevision, client, route, session, totalUnread } from "./state.js";

/** Browsers take long for a title, compared with what it says; a busy minute must not be spent on it. */
const LEAST_PAUSE_MS = 1000;

/** Called once. */
export function installTitle() {
  let wanted = document.title;
  let writtenAt = -Infinity;
  let timer = 0;
  const write = () => {
    timer = 0;
    writtenAt = performance.now();
    if (document.title !== wanted) document.title = wanted;
  };

  effect(() => {
    const place = titleOfPlace(route.value);
    const count = session.value === "signed-in" && totalUnread.value > 0 ? `(${formatNumber(totalUnread.value)}) ` : "";
    wanted = count + (place ? `${place} · ${t("app.name")}` : t("app.name"));
    const pause = writtenAt + LEAST_PAUSE_MS - performance.now();
    if (pause <= 0) write();
    else timer ||= setTimeout(write, pause);
  });
}

function titleOfPlace(place) {
  if (place.name === "sign-up") return t("signUp.title");
  if (place.name === "sign-in" || session.value !== "signed-in") return t("signIn.title");
  if (place.name === "settings") return place.section ? t(`settings.${place.section}`) : t("settings.title");
  if (place.name !== "chat") return "";
  chatRevision(place.chatId).value;
  const chat = client.chats.get(place.chatId);
  return chat ? chatTitle(chat) : "";
}
