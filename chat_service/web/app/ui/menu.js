/**
 * A menu of actions beside a button, or where the pointer is. It is drawn in the browser's top layer, inside the
 * open dialog if there is one, so nothing covers it and nothing makes it inert.
 */

import { html, render } from "htm/preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icon.js";
import { useRovingFocus } from "./roving-focus.js";

const MARGIN_PX = 8;

/**
 * @typedef {{label: string, icon?: string, onSelect: () => unknown, danger?: boolean, checked?: boolean,
 *   disabled?: boolean, hint?: string}} MenuItem
 */

/** @type {(() => void) | null} */
let closeOpenMenu = null;

/**
 * @param {{
 *   anchor: Element | {x: number, y: number}, items: (MenuItem | "separator")[], label: string, onClose?: () => void,
 * }} options the focus goes back to where it was before, but calls up no keyboard of a touch screen
 * @returns {() => void} closes the menu
 */
export function openMenu({ anchor, items, label, onClose }) {
  closeOpenMenu?.();
  const before = document.activeElement;
  const parent = (anchor instanceof Element && anchor.closest("dialog")) || document.body;
  const place = document.createElement("div");
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    closeOpenMenu = null;
    if (anchor instanceof Element && anchor.hasAttribute("aria-haspopup")) anchor.setAttribute("aria-expanded", "false");
    render(null, place);
    place.remove();
    if (before instanceof HTMLElement && before.isConnected && !callsKeyboard(before)) before.focus({ preventScroll: true });
    onClose?.();
  };
  closeOpenMenu = close;
  if (anchor instanceof Element && anchor.hasAttribute("aria-haspopup")) anchor.setAttribute("aria-expanded", "true");
  parent.append(place);
  render(html`<${Menu} anchor=${anchor} items=${items} label=${label} close=${close} />`, place);
  return close;
}

/** For when what the menu is about is gone. */
export function closeMenu() {
  closeOpenMenu?.();
}

function Menu({ anchor, items, label, close }) {
  const menu = useRef(/** @type {HTMLElement | null} */ (null));
  useRovingFocus(menu, { selector: "[role^=menuitem]:not([aria-disabled])", wrap: true, typeAhead: true });

  useLayoutEffect(() => {
    const element = menu.current;
    if (!element) return;
    element.showPopover?.();
    placeMenu(element, anchor);
    element.querySelector("[role^=menuitem]:not([aria-disabled])")?.focus({ preventScroll: true });
  }, []);

  useEffect(() => {
    const outside = (event) => !menu.current?.contains(event.target) && close();
    // The keyboard of a touch screen goes when the menu takes the focus, which changes the size of the window.
    const replace = () => menu.current && placeMenu(menu.current, anchor);
    // So that Back on a phone closes the menu, and does not leave the chat under it.
    const { CloseWatcher } = /** @type {any} */ (globalThis);
    const watcher = CloseWatcher && new CloseWatcher();
    watcher?.addEventListener("close", close);
    addEventListener("pointerdown", outside, true);
    addEventListener("resize", replace);
    addEventListener("blur", close);
    return () => {
      watcher?.destroy();
      removeEventListener("pointerdown", outside, true);
      removeEventListener("resize", replace);
      removeEventListener("blur", close);
    };
  }, []);

  const onKeyDown = (event) => {
    if (event.key !== "Escape" && event.key !== "Tab") return;
    event.preventDefault();
    event.stopPropagation();
    close();
  };

  return html`<div ref=${menu} class="menu" role="menu" aria-label=${label} popover="manual" tabindex="-1" onKeyDown=${onKeyDown}>
    ${items.map((item) =>
      item === "separator"
        ? html`<div class="menu__line" role="separator"></div>`
        : html`<button
            type="button"
            class=${`menu__item ${item.danger ? "menu__item--danger" : ""}`}
            role=${item.checked === undefined ? "menuitem" : "menuitemcheckbox"}
            aria-checked=${item.checked === undefined ? undefined : String(item.checked)}
            aria-disabled=${item.disabled ? "true" : undefined}
            tabindex="-1"
            onClick=${() => {
              if (item.disabled) return;
              close();
              item.onSelect();
            }}
          >
            <span class="menu__icon">${item.icon && html`<${Icon} name=${item.icon} size=${18} />`}</span>
            <span class="menu__words">
              ${item.label}
              ${item.hint && html`<span class="menu__hint">${item.hint}</span>`}
            </span>
            ${item.checked && html`<${Icon} name="check" size=${18} />`}
          </button>`,
    )}
  </div>`;
}

function callsKeyboard(element) {
  return matchMedia("(pointer: coarse)").matches && element.matches("input, textarea");
}

/** Below the anchor where there is room, else above; never beyond the edges of the window. */
function placeMenu(element, anchor) {
  const right = getComputedStyle(element).direction === "rtl";
  const box = element.getBoundingClientRect();
  const from =
    anchor instanceof Element ? anchor.getBoundingClientRect() : new DOMRect(anchor.x, anchor.y, 0, 0);
  const alignEnd = anchor instanceof Element && (right ? from.left < innerWidth / 2 : from.right > innerWidth / 2);
  const left = (right ? !alignEnd : alignEnd) ? from.right - box.width : from.left;
  const below = from.bottom + MARGIN_PX / 2;
  const fitsBelow = below + box.height <= innerHeight - MARGIN_PX;
  const top = fitsBelow ? below : from.top - box.height - MARGIN_PX / 2;
  element.style.left = `${clamp(left, innerWidth - box.width)}px`;
  element.style.top = `${clamp(top, innerHeight - box.height)}px`;
}

function clamp(value, most) {
  return Math.max(MARGIN_PX, Math.min(value, most - MARGIN_PX));
}
