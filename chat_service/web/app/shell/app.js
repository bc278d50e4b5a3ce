/** The application: one of its three faces by session and route, and what lies above all of them. */

import { html } from "htm/preact";
import { lazy } from "../lazy.js";
import { route, session } from "../state.js";
import { withStyle } from "../styles.js";
import { ToastHost } from "../ui/toast.js";
import { Shell } from "./shell.js";

const loadAccountPages = withStyle(() => import("../account/account-pages.js"), "account");
const SignIn = lazy(loadAccountPages, "SignIn");
const SignUp = lazy(loadAccountPages, "SignUp");

export function App() {
  return html`<${Face} /><${ToastHost} />`;
}

function Face() {
  if (session.value === "signed-in") return html`<${Shell} />`;
  return route.value.name === "sign-up" ? html`<${SignUp} />` : html`<${SignIn} />`;
}
