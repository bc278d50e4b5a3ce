/** A message in one plain line: for the quote of a reply, a label for screen readers, a notification. */

import { beginningOf } from "../text-length.js";
import { parseMarkup } from "./blocks.js";

const READ = 400;

/**
 * The words of a message without its marks, on one line, at most `longest` characters and then an ellipsis.
 *
 * @param {string} content
 * @param {number} [longest]
 */
export function summarise(content, longest = 160) {
  const words = wordsOf(parseMarkup(beginningOf(content, READ)));
  const line = words.join(" ").replace(/\s+/g, " ").trim();
  const points = Array.from(line);
  if (points.length <= longest && content.length <= READ) return line;
  return `${beginningOf(line, points.slice(0, longest).join("").length).trimEnd()}…`;
}

function wordsOf(blocks) {
  return blocks.flatMap((block) => {
    switch (block.type) {
      case "code_block":
        return [block.text];
      case "quote":
        return wordsOf(block.blocks);
      case "list":
        return block.items.map((item) => textOf(item.children));
      default:
        return [textOf(block.children)];
    }
  });
}

function textOf(nodes) {
  return nodes.map((node) => ("children" in node ? textOf(node.children) : node.text)).join("");
}
