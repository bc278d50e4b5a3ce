/** The start: asks who is signed in while the words load, then draws the application and goes online. */

import { html, render } from "htm/preact";
import { effect } from "@preact/signals";
import { installGuard } from "./guard.js";
import { loadLanguage, preferredLanguage } from "./i18n.js";
import { loadTheRestWhenIdle, whenIdle } from "./lazy.js";
import { installRouter } from "./router.js";
import { App } from "./shell/app.js";
import { client, session } from "./state.js";
import { installTitle } from "./title.js";
import { installWindowFrame } from "./window-frame.js";

start().catch((error) => {
  console.error(error);
  document.getElementById("boot-failed")?.removeAttribute("hidden");
});

async function start() {
  const restoring = client.restore();
  await loadLanguage(preferredLanguage()).catch(() => loadLanguage("en"));
  await restoring;

  installRouter();
  installGuard();
  installTitle();
  installWindowFrame();
  followLanguage();
  followSession();
  render(html`<${App} />`, document.getElementById("app"));
  document.getElementById("boot")?.remove();
  whenIdle(startAfterwards);
  loadTheRestWhenIdle();
}

/** Without a network there is nothing to notify of either; the next page tries again. */
function startAfterwards() {
  import("./afterwards.js").then((module) => module.startAfterwards()).catch(() => {});
}

/** Another choice, here or in another tab, loads its words; if that fails, the present ones stay. */
function followLanguage() {
  effect(() => {
    // Also the active one: another may be on its way.
    loadLanguage(preferredLanguage()).catch(() => {});
  });
}

/** The socket lives exactly as long as the session. */
function followSession() {
  effect(() => {
    if (session.value === "signed-in") client.start();
  });
}
