/** The devices on which one is signed in, and signing them out. */

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { signOutEverywhere, signOutHere } from "../account/sign-out.js";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { client } from "../state.js";
import { formatAgo, formatFull, formatMoment } from "../time.js";
import { announce, Button, Icon, showToast, Skeleton } from "../ui/index.js";
import { deviceName, isPhone } from "./device-name.js";

/** @import {DeviceSession} from "../../sdk/types.js" */

export function DevicesSettings() {
  const [sessions, setSessions] = useState(/** @type {DeviceSession[] | null} */ (null));
  const [problem, setProblem] = useState("");
  const load = async () => {
    setProblem("");
    try {
      setSessions(await client.listSessions());
    } catch (error) {
      setProblem(errorSentence(error));
    }
  };
  useEffect(() => {
    load();
  }, []);

  if (problem && !sessions) {
    return html`<div class="settings__form" role="alert">
      <p class="settings__text">${problem}</p>
      <${Button} onClick=${load}>${t("action.tryAgain")}</${Button}>
    </div>`;
  }
  if (!sessions) return html`<${DevicesSkeleton} />`;
  const ended = (session) => {
    setSessions((old) => old?.filter((one) => one.id !== session.id) ?? null);
    announce(t("devices.ended", { name: deviceName(session.user_agent) }));
  };
  return html`<div class="settings__form">
    <p class="settings__text">${t("devices.text")}</p>
    <ul class="devices">
      ${[...sessions]
        .sort((a, b) => Number(b.current) - Number(a.current) || (a.last_used_at < b.last_used_at ? 1 : -1))
        .map((session) => html`<${Device} key=${session.id} session=${session} onEnded=${() => ended(session)} />`)}
    </ul>
    <div class="form__actions">
      <${Button} variant="danger-plain" icon="sign-out" onClick=${signOutEverywhere}>${t("devices.everywhere")}</${Button}>
    </div>
  </div>`;
}

function Device({ session, onEnded }) {
  const [isBusy, setBusy] = useState(false);
  const name = deviceName(session.user_agent);
  const end = async () => {
    if (session.current) {
      signOutHere();
      return;
    }
    setBusy(true);
    try {
      await client.endSession(session.id);
      onEnded();
    } catch (error) {
      showToast(errorSentence(error), { tone: "danger" });
      setBusy(false);
    }
  };
  return html`<li class="device">
    <span class="person__icon"><${Icon} name=${isPhone(session.user_agent) ? "phone" : "devices"} /></span>
    <span class="device__words">
      <span class="device__name">${name} ${session.current && html`<span class="role role--owner">${t("devices.current")}</span>`}</span>
      <span class="device__note" title=${formatFull(session.last_used_at)}>${t("devices.lastUsed", { when: formatAgo(session.last_used_at) })}</span>
      <span class="device__note">${t("devices.since", { when: formatMoment(session.created_at) })}${session.ip && html` · <bdi>${session.ip}</bdi>`}</span>
    </span>
    <${Button}
      variant=${session.current ? "plain" : "quiet"}
      size="small"
      busy=${isBusy}
      aria-label=${t("devices.endNamed", { name })}
      onClick=${end}
      >${t("signOut.action")}</${Button}
    >
  </li>`;
}

function DevicesSkeleton() {
  return html`<div class="settings__form" aria-busy="true">
    <span class="for-screen-reader" role="status">${t("devices.loading")}</span>
    ${[0, 1, 2].map(
      (index) => html`<div class="device" key=${index}><${Skeleton} shape="circle" width="2.25rem" /><${Skeleton} width="60%" /></div>`,
    )}
  </div>`;
}
