/** The text of a message: markup, a few large emoji, or a long text that opens when asked. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { t } from "../../i18n.js";
import { isFewEmoji } from "../markup/emoji.js";
import { Markup } from "../markup/markup.js";
import { beginningOf } from "../text-length.js";

const LONG_CHARS = 1_800;
const LONG_LINES = 24;

/**
 * @param {{content: string, tail: unknown, tabIndex: number, isOpened: boolean, onOpen: () => void}} props `tail`
 *   is what stands at the end of the last line; `tabIndex` of links and buttons, which are tab stops only in the
 *   message that is one; `isOpened`: a long text was opened before
 */
export function Body({ content, tail, tabIndex, isOpened, onOpen }) {
  const [opened, setOpened] = useState(isOpened);
  if (isFewEmoji(content)) return html`<p class="emoji" dir="auto">${content.trim()}</p>${tail}`;
  const beginning = opened ? content : shorten(content);
  if (beginning === content) return html`<${Markup} content=${content} tail=${tail} linkTabIndex=${tabIndex} />`;
  const open = () => {
    onOpen();
    setOpened(true);
  };
  return html`
    <div class="long-text"><${Markup} content=${beginning} linkTabIndex=${tabIndex} /></div>
    <button type="button" class="long-text__more" tabindex=${tabIndex} onClick=${open}>${t("chat.showAll")}</button>
    ${tail}
  `;
}

/** A long text up to a good place to stop; the whole of one that is not long. */
function shorten(content) {
  if (content.length <= LONG_CHARS && countLines(content) <= LONG_LINES) return content;
  const lines = beginningOf(content, LONG_CHARS).split("\n", LONG_LINES).join("\n");
  const space = lines.lastIndexOf(" ");
  return space > lines.length - 80 ? lines.slice(0, space) : lines;
}

function countLines(content) {
  let lines = 1;
  for (let at = content.indexOf("\n"); at !== -1 && lines <= LONG_LINES; at = content.indexOf("\n", at + 1)) lines += 1;
  return lines;
}
