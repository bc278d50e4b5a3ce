/**
 * The small markdown of a message: paragraphs, ``` code blocks, > quotes and lists, as a tree.
 *
 * Everything that is not one of these stays exactly as it was typed, blank lines and spaces included.
 *
 * @typedef {import("./inline.js").Inline} Inline
 * @typedef {{type: "paragraph", children: Inline[]}} Paragraph
 * @typedef {{type: "code_block", text: string}} CodeBlock
 * @typedef {{type: "quote", blocks: Block[]}} Quote
 * @typedef {{type: "list", ordered: boolean, items: {number: number | null, children: Inline[]}[]}} List
 * @typedef {Paragraph | CodeBlock | Quote | List} Block
 */

import { parseInline } from "./inline.js";

const DEEPEST_QUOTE = 3;
const FENCE = "```";

// A mark needs its space, so that >:( and -5 and *text* are what they look like.
const QUOTED = /^>(?=[ >]|$)/;
const BULLET = /^[-*•] +(?=\S)/;
const NUMBER = /^(\d{1,3})\. +(?=\S)/;

/**
 * @param {string} content
 * @returns {Block[]}
 */
export function parseMarkup(content) {
  return parseLines(content.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function parseLines(lines, depth) {
  const blocks = [];
  const fences = listClosingFences(lines);
  let plain = [];
  const endParagraph = () => {
    const text = withoutBlankEdges(plain);
    if (text !== "") blocks.push({ type: "paragraph", children: parseInline(text) });
    plain = [];
  };
  let at = 0;
  while (at < lines.length) {
    const read = readCode(lines, at, fences) ?? readQuote(lines, at, depth) ?? readList(lines, at);
    if (read === null) {
      plain.push(lines[at]);
      at += 1;
    } else {
      endParagraph();
      blocks.push(read.block);
      at = read.end;
    }
  }
  endParagraph();
  return blocks;
}

/** For each line the next one below it that ends with a fence; -1 where there is none. */
function listClosingFences(lines) {
  const closing = new Int32Array(lines.length);
  let next = -1;
  for (let at = lines.length - 1; at >= 0; at -= 1) {
    closing[at] = next;
    if (lines[at].trimEnd().endsWith(FENCE)) next = at;
  }
  return closing;
}

function readCode(lines, at, fences) {
  const line = lines[at].trim();
  if (!line.startsWith(FENCE)) return null;
  if (line.length > 2 * FENCE.length && line.endsWith(FENCE)) {
    return { block: { type: "code_block", text: line.slice(FENCE.length, -FENCE.length) }, end: at + 1 };
  }
  const last = fences[at];
  if (last === -1) return null;
  const opening = line.slice(FENCE.length);
  const ending = lines[last].trimEnd().slice(0, -FENCE.length);
  // A single word after the opening fence names a language; anything else is code already.
  const code = lines.slice(at + 1, last);
  if (/[^\w+#.-]/.test(opening)) code.unshift(opening);
  if (ending.trim() !== "") code.push(ending);
  return code.length === 0 ? null : { block: { type: "code_block", text: code.join("\n") }, end: last + 1 };
}

function readQuote(lines, at, depth) {
  if (depth === DEEPEST_QUOTE || !QUOTED.test(lines[at])) return null;
  let end = at;
  while (end < lines.length && QUOTED.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(/^> ?/, ""));
  return { block: { type: "quote", blocks: parseLines(inner, depth + 1) }, end };
}

function readList(lines, at) {
  const mark = BULLET.test(lines[at]) ? BULLET : NUMBER.test(lines[at]) ? NUMBER : null;
  if (mark === null) return null;
  const items = [];
  let end = at;
  for (; end < lines.length; end += 1) {
    const found = mark.exec(lines[end]);
    if (found !== null) {
      const number = found[1] === undefined ? null : Number(found[1]);
      items.push({ number, text: [lines[end].slice(found[0].length)] });
    } else if (/^ {2,}\S/.test(lines[end])) {
      items.at(-1).text.push(lines[end].trimStart());
    } else {
      break;
    }
  }
  const block = {
    type: "list",
    ordered: mark === NUMBER,
    items: items.map(({ number, text }) => ({ number, children: parseInline(text.join("\n")) })),
  };
  return { block, end };
}

function withoutBlankEdges(lines) {
  let from = 0;
  let end = lines.length;
  while (from < end && lines[from].trim() === "") from += 1;
  while (end > from && lines[end - 1].trim() === "") end -= 1;
  return lines.slice(from, end).join("\n").trimEnd();
}
