/**
 * Parts of the interface that are not needed for the first paint. They are loaded when they are first shown, or
 * before that when the page is idle, so that they are there when the network is not.
 */

import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useLayoutEffect } from "preact/hooks";
import { t } from "./i18n.js";
import { Button, EmptyState, openDialog, showToast, Spinner } from "./ui/index.js";

const PATIENCE_MS = 3000;

/** @type {(() => Promise<unknown>)[]} */
const loaders = [];

/**
 * A component whose module is loaded later; meanwhile it is a spinner.
 *
 * @template {Record<string, unknown>} M
 * @param {() => Promise<M>} load an `import(…)`
 * @param {keyof M} name of the component among the module's exports
 */
export function lazy(load, name) {
  const component = signal(/** @type {{type: unknown} | null} */ (null));
  const failed = signal(false);
  let loading = /** @type {Promise<void> | null} */ (null);

  const start = () => {
    if (component.value) return loading;
    failed.value = false;
    loading ??= load().then(
      (module) => {
        component.value = { type: module[name] };
      },
      () => {
        failed.value = true;
        loading = null;
      },
    );
    return loading;
  };
  loaders.push(start);

  const retry = async () => {
    await start();
    // Some browsers keep the failure of a module for as long as the page lives (whatwg/html#10327).
    if (failed.value && (await isServed())) location.reload();
  };

  return function Lazy(props) {
    // It may have failed when the page was idle, and fails here until the network is back.
    useLayoutEffect(() => {
      start();
      addEventListener("online", start);
      return () => removeEventListener("online", start);
    }, []);
    if (component.value) return html`<${component.value.type} ...${props} />`;
    if (failed.value) {
      return html`<${EmptyState} icon="offline" title=${t("lazy.failedTitle")} text=${t("lazy.failedText")}>
        <${Button} variant="primary" onClick=${retry}>${t("action.tryAgain")}</${Button}>
      </${EmptyState}>`;
    }
    return html`<div class="loading"><${Spinner} /></div>`;
  };
}

async function isServed() {
  try {
    return (await fetch(import.meta.url, { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

/**
 * Says that something could not be loaded, and loads it when the reader asks for it once more.
 *
 * @param {() => Promise<unknown>} load rejects when it could not be loaded
 */
export function offerRetry(load) {
  const retry = async () => {
    try {
      await load();
    } catch {
      // As above: where the server is there, another page helps.
      if (await isServed()) location.reload();
      else offerRetry(load);
    }
  };
  showToast(t("lazy.failedText"), { tone: "danger", action: { label: t("action.tryAgain"), onSelect: retry } });
}

/**
 * A dialog whose module is loaded later.
 *
 * @template {Record<string, unknown>} M
 * @param {() => Promise<M>} load an `import(…)`
 * @param {keyof M} name of the dialog among the module's exports; it gets `onClose` besides its props
 * @returns {(props?: Record<string, unknown>) => Promise<void>} opens it, unless it is open already
 */
export function lazyDialog(load, name) {
  let isOpen = false;
  loaders.push(() => load().catch(() => {}));

  const open = async (props) => {
    if (isOpen) return;
    isOpen = true;
    try {
      const module = await load();
      openDialog(
        (close) => html`<${module[name]} ...${props} onClose=${close} />`,
        () => {
          isOpen = false;
        },
      );
    } catch (error) {
      isOpen = false;
      throw error;
    }
  };

  return (props = {}) => open(props).catch(() => offerRetry(() => open(props)));
}

/** Runs something that nobody waits for: chats, and the history of the one that is open, come first. */
export function whenIdle(run) {
  setTimeout(() => (globalThis.requestIdleCallback ?? setTimeout)(run), PATIENCE_MS);
}

/** Called once after the first paint. What cannot be loaded now is tried again when it is shown. */
export function loadTheRestWhenIdle() {
  whenIdle(() => {
    for (const start of loaders) start();
  });
}
