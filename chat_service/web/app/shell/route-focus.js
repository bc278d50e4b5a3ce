/**
 * Where the focus goes when the route changes and what had it is gone or out of view: to what is shown now, so
 * that the next Tab, and a screen reader, go on from there. A part that takes the focus itself is left alone.
 */

import { useEffect, useRef } from "preact/hooks";
import { route } from "../state.js";

export function useRouteFocus() {
  const isFirst = useRef(true);
  const place = route.value;
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return undefined;
    }
    const frame = requestAnimationFrame(() => {
      const focused = document.activeElement;
      if (focused && focused !== document.body && isVisible(focused)) return;
      for (const selector of targetsFor(place)) {
        const target = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(selector)]).find(isVisible);
        if (target) {
          target.focus({ preventScroll: true });
          return;
        }
      }
    });
    return () => cancelAnimationFrame(frame);
  }, [place]);
}

/** Best first. Back in the list that is the chat one comes from; a touch keyboard is not called up unasked. */
function targetsFor(place) {
  if (place.name === "home") return [".chat-list [data-row][tabindex='0']", ".shell__sidebar [data-route-focus]"];
  if (place.name === "settings" && !place.section) return [".shell__sidebar [data-route-focus]"];
  if (place.name !== "chat" || place.details) return [".shell__main [data-route-focus]", ".shell__main"];
  return matchMedia("(pointer: coarse)").matches ? [".shell__main"] : ["[data-composer]", ".shell__main"];
}

function isVisible(element) {
  return element.checkVisibility?.({ visibilityProperty: true }) ?? element.getClientRects().length > 0;
}
