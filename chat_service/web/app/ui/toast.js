/** Short messages at the edge of the window, and sentences for screen readers alone. */

import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n.js";
import { Button, IconButton } from "./button.js";
import { Icon } from "./icon.js";

const SHOWN_MS = 6000;
const SHOWN_WITH_ACTION_MS = 10_000;
const MOST_AT_ONCE = 3;

/** @typedef {{id: number, text: string, tone: "plain" | "danger", action?: {label: string, onSelect: () => void}}} Toast */

const toasts = signal(/** @type {Toast[]} */ ([]));
const announcement = signal("");
/** The hosts on the page, the topmost last. */
const hosts = signal(/** @type {object[]} */ ([]));
let lastId = 0;

/** @param {string} text @param {{tone?: "plain" | "danger", action?: Toast["action"]}} [options] */
export function showToast(text, { tone = "plain", action } = {}) {
  lastId += 1;
  const others = toasts.peek().filter((toast) => toast.text !== text);
  toasts.value = [...others, { id: lastId, text, tone, action }].slice(-MOST_AT_ONCE);
}

/** Says a sentence through the polite live region; nothing is seen. */
export function announce(text) {
  // The same sentence twice is a change only if the region was empty in between.
  announcement.value = "";
  setTimeout(() => {
    announcement.value = text;
  }, 60);
}

/**
 * Rendered by the application, and by every dialog: what lies outside of a modal dialog is inert, so it could not
 * be pressed and would not be read out. The topmost one shows and says everything.
 */
export function ToastHost() {
  const host = useRef({}).current;
  useLayoutEffect(() => {
    hosts.value = [...hosts.peek(), host];
    return () => {
      hosts.value = hosts.peek().filter((one) => one !== host);
    };
  }, []);
  const isTopmost = hosts.value.at(-1) === host;
  return html`
    ${isTopmost &&
    html`<div class="toasts" role="region" aria-label=${t("toast.region")}>
      ${toasts.value.map((toast) => html`<${ToastView} key=${toast.id} toast=${toast} />`)}
    </div>`}
    <div class="for-screen-reader" role="status" aria-live="polite">${isTopmost && announcement.value}</div>
  `;
}

function ToastView({ toast }) {
  const close = () => {
    toasts.value = toasts.peek().filter((one) => one.id !== toast.id);
  };
  useEffect(() => {
    const timer = setTimeout(close, toast.action ? SHOWN_WITH_ACTION_MS : SHOWN_MS);
    return () => clearTimeout(timer);
  }, []);
  return html`<div class=${`toast toast--${toast.tone}`} role=${toast.tone === "danger" ? "alert" : "status"}>
    ${toast.tone === "danger" && html`<${Icon} name="error" size=${18} />`}
    <p class="toast__text" dir="auto">${toast.text}</p>
    ${toast.action &&
    html`<${Button}
      variant="plain"
      size="small"
      onClick=${() => {
        close();
        toast.action.onSelect();
      }}
      >${toast.action.label}</${Button}
    >`}
    <${IconButton} icon="close" size="small" label=${t("action.close")} tooltip=${false} onClick=${close} />
  </div>`;
}
