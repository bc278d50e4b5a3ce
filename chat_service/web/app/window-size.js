/** Whether the window shows the list and a chat side by side; the same limit as in style/shell.css. */

import { signal } from "@preact/signals";

const query = matchMedia("(min-width: 48.01rem)");

export const isWide = signal(query.matches);

query.addEventListener("change", () => {
  isWide.value = query.matches;
});
