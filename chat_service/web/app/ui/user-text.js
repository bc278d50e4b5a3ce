/** Text that somebody wrote, such as a name: its direction is its own, and it cannot disturb what is around it. */

import { html } from "htm/preact";

/** @param {{text: string, as?: string, class?: string} & Record<string, unknown>} props */
export function UserText({ text, as: Tag = "span", class: className = "one-line", ...rest }) {
  return html`<${Tag} class=${className} dir="auto" ...${rest}>${text}</${Tag}>`;
}
