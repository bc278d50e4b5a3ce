/** A list with one tab stop, through which the arrow keys move (the "roving tabindex" of the ARIA practices). */

import { useEffect } from "preact/hooks";
import { isComposing } from "./is-composing.js";

const TYPE_AHEAD_MS = 700;

/**
 * The element that has the focus, or the first one, or the one with `aria-current` or `aria-selected`, is the tab stop.
 *
 * @param {{current: HTMLElement | null}} ref the container
 * @param {{selector: string, orientation?: "vertical" | "horizontal", wrap?: boolean, typeAhead?: boolean}} options
 *   `selector` finds the items inside the container
 */
export function useRovingFocus(ref, { selector, orientation = "vertical", wrap = false, typeAhead = false }) {
  useEffect(() => {
    const container = ref.current;
    if (!container) return undefined;
    const items = () => /** @type {HTMLElement[]} */ ([...container.querySelectorAll(selector)]);
    let typed = "";
    let typedAt = 0;

    const markTabStop = (chosen) => {
      const all = items();
      const stop =
        (all.includes(chosen) && chosen) ||
        all.find((item) => item.matches("[aria-current], [aria-selected=true]")) ||
        all[0];
      for (const item of all) item.tabIndex = item === stop ? 0 : -1;
    };

    const onKeyDown = (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || isComposing(event)) return;
      const all = items();
      const index = all.indexOf(event.target.closest(selector));
      if (index < 0) return;
      const target = all[nextIndex(event, index, all.length)] ?? (typeAhead && findTyped(event, all, index));
      if (!target) return;
      event.preventDefault();
      markTabStop(target);
      target.focus();
      target.scrollIntoView({ block: "nearest", inline: "nearest" });
    };

    const nextIndex = (event, index, count) => {
      const rightToLeft = getComputedStyle(container).direction === "rtl";
      const [back, ahead] =
        orientation === "vertical" ? ["ArrowUp", "ArrowDown"] : rightToLeft ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"];
      if (event.key === "Home") return 0;
      if (event.key === "End") return count - 1;
      if (event.key === ahead) return wrap ? (index + 1) % count : Math.min(index + 1, count - 1);
      if (event.key === back) return wrap ? (index - 1 + count) % count : Math.max(index - 1, 0);
      return -1;
    };

    const findTyped = (event, all, index) => {
      if (event.key.length !== 1 || event.key === " ") return undefined;
      const now = event.timeStamp;
      typed = now - typedAt > TYPE_AHEAD_MS ? event.key : typed + event.key;
      typedAt = now;
      const rest = [...all.slice(index + 1), ...all.slice(0, index + 1)];
      return rest.find((item) => (item.textContent ?? "").trim().toLowerCase().startsWith(typed.toLowerCase()));
    };

    const onFocusIn = (event) => markTabStop(event.target.closest(selector));
    const observer = new MutationObserver(() => markTabStop(document.activeElement));
    observer.observe(container, { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-current"] });
    markTabStop(null);
    container.addEventListener("keydown", onKeyDown);
    container.addEventListener("focusin", onFocusIn);
    return () => {
      observer.disconnect();
      container.removeEventListener("keydown", onKeyDown);
      container.removeEventListener("focusin", onFocusIn);
    };
  }, []);
}
