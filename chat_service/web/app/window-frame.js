/** What the browser draws around the page follows it: the colour of its bars, and the room that a keyboard leaves. */

import { effect } from "@preact/signals";
import { theme } from "./preferences.js";

/** Smaller changes are bars that come and go, which 100dvh follows by itself. */
const LEAST_KEYBOARD_PX = 120;

/** Called once. */
export function installWindowFrame() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  effect(() => {
    theme.value;
    paintBars();
  });
  system.addEventListener("change", paintBars);
  visualViewport?.addEventListener("resize", makeRoomForKeyboard);
}

/** The page's own ground, which is light or dark by the system or by choice. */
function paintBars() {
  const colour = getComputedStyle(document.documentElement).backgroundColor;
  for (const meta of document.querySelectorAll("meta[name=theme-color]")) meta.setAttribute("content", colour);
}

/** iOS lays its keyboard over the page; elsewhere `interactive-widget` in the page's head has done it already. */
function makeRoomForKeyboard() {
  const { height, scale } = visualViewport;
  const root = document.documentElement;
  if (scale === 1 && innerHeight - height > LEAST_KEYBOARD_PX) {
    root.style.setProperty("--window-height", `${height}px`);
    scrollTo(0, 0);
  } else root.style.removeProperty("--window-height");
}
