/** Keeps a defect in one part from taking the rest of the page along: the part says so and can be drawn again. */

import { html } from "htm/preact";
import { useErrorBoundary } from "preact/hooks";
import { t } from "../i18n.js";
import { Button, EmptyState } from "../ui/index.js";

export function Boundary({ children }) {
  const [error, retry] = useErrorBoundary((defect) => console.error(defect));
  if (!error) return children;
  return html`<${EmptyState} icon="error" title=${t("boundary.title")} text=${t("boundary.text")}>
    <${Button} variant="primary" onClick=${retry}>${t("action.tryAgain")}</${Button}>
  </${EmptyState}>`;
}
