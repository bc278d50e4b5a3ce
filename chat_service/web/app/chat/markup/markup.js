/** Draws the tree of a message's markup. Text stays text: nothing here can become markup of the page. */

import { html } from "htm/preact";
import { parseMarkup } from "./blocks.js";

/**
 * @param {{content: string, tail?: unknown, linkTabIndex?: number}} props `tail` is put at the end of the last
 *   line, or below it where the message ends with something else than words; `linkTabIndex` is -1 where links
 *   shall be no tab stops
 */
export function Markup({ content, tail, linkTabIndex = 0 }) {
  const blocks = parseMarkup(content);
  const endsWithWords = blocks.at(-1)?.type === "paragraph";
  const drawer = new Drawer(linkTabIndex);
  return html`<div class="markup">
    ${blocks.map((block, at) => drawer.drawBlock(block, endsWithWords && at === blocks.length - 1 ? tail : null))}
    ${!endsWithWords && tail}
  </div>`;
}

class Drawer {
  constructor(linkTabIndex) {
    this.linkTabIndex = linkTabIndex;
  }

  drawBlock(block, tail = null) {
    switch (block.type) {
      case "code_block":
        return html`<pre class="markup__pre" dir="auto"><code>${block.text}</code></pre>`;
      case "quote":
        return html`<blockquote class="markup__quote">${block.blocks.map((inner) => this.drawBlock(inner))}</blockquote>`;
      case "list":
        return this.#drawList(block);
      default:
        return html`<p class="markup__text" dir="auto">${this.#drawAll(block.children)}${tail}</p>`;
    }
  }

  #drawList({ ordered, items }) {
    const drawn = items.map(({ number, children }) => {
      return html`<li class="markup__item" value=${number}>${this.#drawAll(children)}</li>`;
    });
    return ordered
      ? html`<ol class="markup__list markup__list--ordered" dir="auto">${drawn}</ol>`
      : html`<ul class="markup__list" dir="auto">${drawn}</ul>`;
  }

  #drawAll(nodes) {
    return nodes.map((node) => this.#drawInline(node));
  }

  #drawInline(node) {
    switch (node.type) {
      case "strong":
        return html`<strong>${this.#drawAll(node.children)}</strong>`;
      case "emphasis":
        return html`<em>${this.#drawAll(node.children)}</em>`;
      case "strike":
        return html`<s>${this.#drawAll(node.children)}</s>`;
      case "code":
        return html`<code class="markup__code">${node.text}</code>`;
      case "link":
        return this.#drawLink(node.href, node.text, node.note, "ltr");
      case "labelled":
        return this.#drawLink(node.href, this.#drawAll(node.children), node.note, "auto");
      default:
        return node.text;
    }
  }

  /** The note stands outside of the link and has a direction of its own, so that no label can swallow it. */
  #drawLink(href, label, note, direction) {
    const link = html`<a
      class="markup__link"
      href=${href}
      target="_blank"
      rel="noopener noreferrer nofollow"
      tabindex=${this.linkTabIndex}
      dir=${direction}
      >${label}</a
    >`;
    return note === null ? link : html`${link}<span class="markup__note" dir="ltr"> (${note})</span>`;
  }
}
