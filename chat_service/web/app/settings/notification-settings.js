/** Notifications of this browser: the only place that asks for the permission, and only when one asks for it. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { t } from "../i18n.js";
import { areNotificationsSupported, switchNotificationsOff, switchNotificationsOn } from "../notifications.js";
import { wantsNotifications } from "../preferences.js";
import { Switch } from "../ui/index.js";

export function NotificationSettings() {
  const [problem, setProblem] = useState("");
  const isSupported = areNotificationsSupported();
  const isPermitted = isSupported && Notification.permission === "granted";
  const change = async (wanted) => {
    setProblem("");
    if (!wanted) switchNotificationsOff();
    else if (!(await switchNotificationsOn())) {
      setProblem(t(Notification.permission === "granted" ? "notifications.impossible" : "notifications.refused"));
    }
  };
  return html`<div class="form settings__form">
    <${Switch}
      label=${t("notifications.switch")}
      hint=${t("notifications.hint")}
      checked=${wantsNotifications.value && isPermitted}
      disabled=${!isSupported}
      onChange=${change}
    />
    ${!isSupported && html`<p class="settings__text">${t("notifications.impossible")}</p>`}
    ${problem && html`<p class="form__problem" role="alert">${problem}</p>`}
  </div>`;
}
