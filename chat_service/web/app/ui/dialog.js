/**
 * Modal dialogs on the browser's own <dialog>: it keeps the focus inside, makes the rest inert, closes on
 * Escape (and on the back gesture of phones), and the focus goes back to where it was.
 */

import { html, render } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n.js";
import { Button, IconButton } from "./button.js";
import { ToastHost } from "./toast.js";
import { useUniqueId } from "./unique-id.js";

/**
 * Open as long as it is mounted. It asks for `onClose` and never closes by itself.
 *
 * @param {{
 *   title: string, onClose: () => void, footer?: unknown, size?: "small" | "normal" | "large",
 *   class?: string, role?: "alertdialog", children?: unknown,
 * }} props the field with `data-autofocus` gets the focus, else the first one that can have it
 */
export function Dialog({ title, onClose, footer, size = "normal", class: className = "", role, children }) {
  const id = useUniqueId();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const isPressedOutside = useRef(false);

  useLayoutEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    if (!element) return undefined;
    element.showModal();
    element.querySelector("[data-autofocus]")?.focus();
    return () => {
      element.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    };
  }, []);

  // Beside it is its backdrop. At the press the click is still to come, and would hit what lies below; and a text
  // that is marked beyond the edge is no click beside it.
  // A browser may close it unasked. The event of our own closing comes late, when there is no element any more.
  return html`<dialog
    ref=${dialog}
    class=${`dialog dialog--${size} ${className}`}
    aria-labelledby=${id}
    role=${role}
    onCancel=${(event) => {
      if (event.target !== event.currentTarget) return;
      event.preventDefault();
      onClose();
    }}
    onClose=${(event) => event.target === dialog.current && onClose()}
    onPointerDown=${(event) => {
      isPressedOutside.current = event.target === event.currentTarget;
    }}
    onClick=${(event) => event.target === event.currentTarget && isPressedOutside.current && onClose()}
  >
    <div class="dialog__content">
      <header class="dialog__header">
        <h2 class="dialog__title" id=${id} dir="auto">${title}</h2>
        <${IconButton} icon="close" size="small" label=${t("action.close")} tooltip=${false} onClick=${onClose} />
      </header>
      <div class="dialog__body scrolls">${children}</div>
      ${footer && html`<footer class="dialog__footer">${footer}</footer>`}
    </div>
    <${ToastHost} />
  </dialog>`;
}

/** What ends the dialogs that are open, in the order in which they were opened. @type {Set<() => void>} */
const openDialogs = new Set();

/**
 * Shows a dialog that no component owns.
 *
 * @param {(close: () => void) => unknown} draw gives the <Dialog>, with `close` as what ends it
 * @param {() => void} [onClosed] runs once, however it ended
 * @returns {() => void} closes it from outside
 */
export function openDialog(draw, onClosed) {
  const place = document.createElement("div");
  const close = () => {
    if (!openDialogs.delete(close)) return;
    render(null, place);
    place.remove();
    onClosed?.();
  };
  openDialogs.add(close);
  document.body.append(place);
  render(draw(close), place);
  return close;
}

/** For when what the dialogs are about is gone: another place, or nobody signed in any more. */
export function closeAllDialogs() {
  for (const close of [...openDialogs].reverse()) close();
}

/**
 * Asks before something that cannot be undone.
 *
 * @param {{title: string, text?: string, action: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export function confirmAction({ title, text, action, danger }) {
  return new Promise((resolve) => {
    const draw = (close) => {
      const answer = (value) => {
        resolve(value);
        close();
      };
      return html`<${Dialog}
        title=${title}
        size="small"
        role="alertdialog"
        onClose=${() => answer(false)}
        footer=${html`
          <${Button} onClick=${() => answer(false)}>${t("action.cancel")}</${Button}>
          <${Button} variant=${danger ? "danger" : "primary"} data-autofocus onClick=${() => answer(true)}>${action}</${Button}>
        `}
      >
        <p class="dialog__text" dir="auto">${text}</p>
      </${Dialog}>`;
    };
    openDialog(draw, () => resolve(false));
  });
}
