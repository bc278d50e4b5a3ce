/** One quiet line that says when the server cannot be heard. Short interruptions are not worth a word. */

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n.js";
import { client, connection } from "../state.js";
import { Button, Icon, Spinner } from "../ui/index.js";

const SILENT_FOR_MS = 1200;

/** @param {{floating?: boolean}} props floating: over the pane, where a narrow window does not show the list */
export function ConnectionLine({ floating }) {
  const { state } = connection.value;
  const shown = useSignal(false);
  useEffect(() => {
    if (state === "online") {
      shown.value = false;
      return undefined;
    }
    const timer = setTimeout(() => {
      shown.value = true;
    }, SILENT_FOR_MS);
    return () => clearTimeout(timer);
  }, [state === "online"]);

  return html`<div class=${`connection-line ${floating ? "connection-line--floating" : ""}`} role="status" data-state=${shown.value ? state : "online"}>
    ${shown.value && html`<${Words} state=${state} />`}
  </div>`;
}

function Words({ state }) {
  if (state === "connecting") return html`<${Spinner} /> <span>${t("connection.connecting")}</span>`;
  if (client.stoppedBy === "forbidden") {
    return html`<${Icon} name="offline" size=${16} /> <span>${t("connection.forbidden")}</span>`;
  }
  if (state === "stopped") {
    // Too many pages of one person: the oldest comes to rest and does not push others out by itself.
    return html`<span>${t("connection.stopped")}</span>
      <${Button} size="small" variant="plain" onClick=${() => client.start()}>${t("connection.start")}</${Button}>`;
  }
  return html`<${Icon} name="offline" size=${16} />
    <span>${t(navigator.onLine ? "connection.unreachable" : "connection.offline")}</span>`;
}
