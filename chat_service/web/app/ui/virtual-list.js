/**
 * A list of rows of one height, of which only those in view exist, however long it is. One tab stop; the arrow
 * keys, Home and End move through all of it. A focused row keeps the focus when the order changes.
 */

import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const OVERSCAN_ROWS = 6;
/** When the order changes more often than that, rows jump to their places instead of gliding. */
const CALM_MS = 500;

/**
 * @template T
 * @param {{
 *   items: readonly T[], keyOf: (item: T) => string | number, rowHeight: number, label: string, class?: string,
 *   renderRow: (item: T, attributes: Record<string, unknown>) => unknown, currentKey?: string | number | null,
 *   footer?: unknown, listRef?: {current: {focusFirst: () => void} | null},
 * }} props `rowHeight` in rem; `renderRow` gives the link or button of the row, with `attributes` spread on it;
 *   `currentKey` is the row that Tab reaches as long as none has had the focus
 */
export function VirtualList({ items, keyOf, rowHeight, label, class: className = "", renderRow, currentKey, footer, listRef }) {
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const focusedKey = useRef(/** @type {string | number | null} */ (null));
  const mustFocus = useRef(false);
  const [view, setView] = useState({ first: 0, last: 24 });
  const [activeKey, setActiveKey] = useState(currentKey ?? null);
  const isBusy = useChangesOften(items);
  const height = rowHeight * rootFontSize();
  const active = activeIndex(items, keyOf, activeKey, currentKey);

  useEffect(() => {
    const element = scroller.current;
    if (!element) return undefined;
    const measure = () => {
      const first = Math.max(0, Math.floor(element.scrollTop / height) - OVERSCAN_ROWS);
      const last = Math.ceil((element.scrollTop + element.clientHeight) / height) + OVERSCAN_ROWS;
      setView((old) => (old.first === first && old.last === last ? old : { first, last }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, [height]);

  useEffect(() => {
    const forget = (event) => {
      if (!scroller.current?.contains(event.target)) focusedKey.current = null;
    };
    document.addEventListener("pointerdown", forget, true);
    document.addEventListener("focusin", forget);
    return () => {
      document.removeEventListener("pointerdown", forget, true);
      document.removeEventListener("focusin", forget);
    };
  }, []);

  // A browser takes the focus from an element that is moved; here it comes back.
  useLayoutEffect(() => {
    const lost = focusedKey.current !== null && document.activeElement === document.body;
    if (!mustFocus.current && !lost) return;
    mustFocus.current = false;
    scroller.current?.querySelector("[data-row][tabindex='0']")?.focus({ preventScroll: true });
  });

  const moveTo = (index) => {
    const target = Math.max(0, Math.min(index, items.length - 1));
    if (!items.length || !scroller.current) return;
    mustFocus.current = true;
    focusedKey.current = keyOf(items[target]);
    setActiveKey(focusedKey.current);
    scrollIntoView(scroller.current, target * height, height);
  };
  if (listRef) listRef.current = { focusFirst: () => moveTo(0) };

  const onKeyDown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !event.target.matches("[data-row]")) return;
    const steps = { ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, End: items.length - 1 };
    const target = steps[event.key];
    if (target === undefined) return;
    event.preventDefault();
    moveTo(target);
  };

  const onFocusIn = (event) => {
    const index = Number(event.target.closest(".virtual-list__row")?.ariaPosInSet ?? 0) - 1;
    if (index < 0 || !event.target.matches("[data-row]")) return;
    focusedKey.current = keyOf(items[index]);
    setActiveKey(focusedKey.current);
  };

  const shown = indexesInView(view, items.length, active);
  return html`<div ref=${scroller} class=${`virtual-list scrolls ${className}`} onKeyDown=${onKeyDown} onFocusIn=${onFocusIn}>
    <ul
      class=${`virtual-list__rows ${isBusy ? "virtual-list__rows--busy" : ""}`}
      aria-label=${label}
      style=${{ blockSize: `${items.length * rowHeight}rem` }}
    >
      ${shown.map((index) => {
        const attributes = index === active ? TAB_STOP : NO_TAB_STOP;
        return html`<li
          key=${keyOf(items[index])}
          class="virtual-list__row"
          aria-posinset=${index + 1}
          aria-setsize=${items.length}
          style=${{ blockSize: `${rowHeight}rem`, transform: `translateY(${index * rowHeight}rem)` }}
        >
          ${renderRow(items[index], attributes)}
        </li>`;
      })}
    </ul>
    ${footer}
  </div>`;
}

/** The same objects each time, so that a row that has not changed is not drawn again. */
const TAB_STOP = { "data-row": "", tabIndex: 0 };
const NO_TAB_STOP = { "data-row": "", tabIndex: -1 };

function useChangesOften(items) {
  const last = useRef({ items, at: -Infinity, isOften: false });
  if (last.current.items !== items) {
    const now = performance.now();
    last.current = { items, at: now, isOften: now - last.current.at < CALM_MS };
  }
  return last.current.isOften;
}

/** The rows in view, and the tab stop even where it is not. */
function indexesInView({ first, last }, count, active) {
  const indexes = [];
  if (active >= 0 && active < first) indexes.push(active);
  for (let index = first; index < Math.min(last, count); index += 1) indexes.push(index);
  if (active >= last && active < count) indexes.push(active);
  return indexes;
}

function activeIndex(items, keyOf, activeKey, currentKey) {
  for (const key of [activeKey, currentKey]) {
    const index = key == null ? -1 : items.findIndex((item) => keyOf(item) === key);
    if (index >= 0) return index;
  }
  return items.length ? 0 : -1;
}

function scrollIntoView(element, top, height) {
  if (top < element.scrollTop) element.scrollTop = top;
  const bottom = top + height - element.clientHeight;
  if (bottom > element.scrollTop) element.scrollTop = bottom;
}

function rootFontSize() {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
}
