/**
 * Keeps route and session together: who is not signed in is led to the sign-in page and afterwards back to where
 * they were; who is signed in does not see that page. Menus and dialogs end with the place that they were opened in.
 */

import { effect, untracked } from "@preact/signals";
import { currentPath, navigate } from "./router.js";
import { paths } from "./routes.js";
import { me, route, session } from "./state.js";
import { closeAllDialogs, closeMenu } from "./ui/index.js";

/** Called once, before the first rendering. */
export function installGuard() {
  let lastUserId = /** @type {number | null} */ (null);

  effect(() => {
    route.value;
    session.value;
    untracked(closeMenu);
    untracked(closeAllDialogs);
  });

  effect(() => {
    const { name } = route.value;
    const isDoor = name === "sign-in" || name === "sign-up";
    if (session.value === "signed-out" && !isDoor) {
      const path = untracked(currentPath);
      navigate(paths.signIn(name === "unknown" || name === "home" ? null : path), { replace: true });
    }
    if (session.value === "signed-in") {
      const isSomebodyElse = lastUserId !== null && lastUserId !== me.value?.id;
      lastUserId = me.value?.id ?? null;
      // Places of one person mean nothing to the next who signs in here.
      if (isDoor) navigate((!isSomebodyElse && name === "sign-in" && route.value.next) || paths.home(), { replace: true });
    }
  });
}
