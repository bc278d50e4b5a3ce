/** Ids that connect labels with fields. Those of preact's `useId` repeat between the page and an open dialog. */

import { useState } from "preact/hooks";

let last = 0;

export function useUniqueId() {
  const [id] = useState(() => {
    last += 1;
    return `ui-${last}`;
  });
  return id;
}
