/**
 * The marks within a line: **strong**, *emphasis*, ~~strike~~, `code`, links. A text becomes a small tree.
 *
 * One pass over the text, whatever it holds: a mark that finds no partner stays as it was typed, at most
 * DEEPEST marks are open at a time (the oldest gives way), and no place is looked at twice.
 *
 * @typedef {import("./links.js").Link} Link
 * @typedef {{type: "text", text: string}} Text
 * @typedef {{type: "code", text: string}} Code
 * @typedef {{type: "strong" | "emphasis" | "strike", children: Inline[]}} Marked
 * @typedef {{type: "labelled", href: string, note: string, children: Inline[]}} Labelled
 * @typedef {Text | Code | Marked | Labelled | Link} Inline
 */

import { readLink, readTarget } from "./links.js";

const DEEPEST = 8;
const TYPES = { "*": "emphasis", "**": "strong", "~~": "strike" };

// Scripts that are written without spaces: a mark may stand between their letters.
const WORD = /[\p{L}\p{N}_]/u;
const UNSPACED = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}]/u;
const SPECIAL = /[*~`[\]\\]|h(?=ttps?:)|m(?=ailto:)|w(?=ww\.)/gi;

/**
 * @param {string} text
 * @returns {Inline[]}
 */
export function parseInline(text) {
  return new InlineParser(text).parse();
}

class InlineParser {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.plainFrom = 0;
    this.nodes = [];
    this.open = [];
    this.links = 0;
    this.codeEnds = null;
  }

  parse() {
    const special = new RegExp(SPECIAL);
    for (let found = special.exec(this.text); found !== null; found = special.exec(this.text)) {
      this.at = found.index;
      const next = this.#read(found[0]);
      special.lastIndex = next;
    }
    this.#takePlain(this.text.length);
    return joinTexts(this.nodes);
  }

  /** Reads the mark at `this.at`; returns where to go on. */
  #read(mark) {
    switch (mark) {
      case "*":
        return this.#readStars();
      case "~":
        return this.#readStrike();
      case "`":
        return this.#readCode();
      case "[":
        this.#takePlain(this.at);
        this.#push("[", "[");
        this.plainFrom = this.at + 1;
        return this.at + 1;
      case "]":
        return this.#readLabelled();
      case "\\":
        return this.#readEscape();
      default:
        return this.#readAddress();
    }
  }

  #readStars() {
    const length = this.#runLength("*");
    const end = this.at + length;
    if (length > 3) return end;
    this.#takePlain(this.at);
    this.plainFrom = end;
    const { opens, closes } = this.#flanks(end);
    let left = length;
    while (closes && left > 0) {
      const partner = this.#findOpen((kind) => (kind === "*" || kind === "**") && kind.length <= left);
      if (partner === -1) break;
      left -= this.open[partner].kind.length;
      this.#close(partner);
    }
    if (opens && left > 0) {
      if (left !== 1) this.#push("**", "**");
      if (left !== 2) this.#push("*", "*");
    } else if (left > 0) {
      this.#addText("*".repeat(left));
    }
    return end;
  }

  #readStrike() {
    const length = this.#runLength("~");
    const end = this.at + length;
    if (length !== 2) return end;
    this.#takePlain(this.at);
    this.plainFrom = end;
    const { opens, closes } = this.#flanks(end);
    const partner = closes ? this.#findOpen((kind) => kind === "~~") : -1;
    if (partner !== -1) this.#close(partner);
    else if (opens) this.#push("~~", "~~");
    else this.#addText("~~");
    return end;
  }

  #readCode() {
    const length = this.#runLength("`");
    const from = this.at + length;
    const end = this.#codeEnd(length, from);
    if (end === -1) return from;
    this.#takePlain(this.at);
    const code = this.text.slice(from, end);
    const padded = code.length > 2 && code.startsWith(" ") && code.endsWith(" ");
    this.nodes.push({ type: "code", text: padded ? code.slice(1, -1) : code });
    this.plainFrom = end + length;
    return this.plainFrom;
  }

  #readLabelled() {
    const after = this.at + 1;
    const partner = this.#findOpen((kind) => kind === "[");
    if (partner === -1) return after;
    const { at, links } = this.open[partner];
    const found = links === this.links ? this.#readTarget(after) : null;
    if (found === null) {
      this.open.splice(partner, 1);
      return after;
    }
    this.#takePlain(this.at);
    const children = this.nodes.splice(at + 1);
    if (children.length === 0) children.push({ type: "text", text: found.target.href });
    this.nodes[at] = { type: "labelled", ...found.target, children };
    this.open.length = partner;
    this.links += 1;
    this.plainFrom = found.end;
    return found.end;
  }

  /** The `(address)` that begins at `from`. */
  #readTarget(from) {
    const written = /\(([^\s()<>"]{1,2048})\)/y;
    written.lastIndex = from;
    const found = written.exec(this.text);
    const target = found === null ? null : readTarget(found[1]);
    return target === null ? null : { target, end: written.lastIndex };
  }

  #readEscape() {
    const next = this.text[this.at + 1];
    if (next === undefined || !"*~`[]".includes(next)) return this.at + 1;
    this.#takePlain(this.at);
    this.plainFrom = this.at + 1;
    return this.at + 2;
  }

  #readAddress() {
    if (/[a-z0-9+.-]/i.test(this.text[this.at - 1] ?? "")) return this.at + 1;
    const found = readLink(this.text, this.at);
    if (found === null) return this.at + 1;
    if (found.link === null) return found.end;
    this.#takePlain(this.at);
    this.nodes.push(found.link);
    this.links += 1;
    this.plainFrom = found.end;
    return found.end;
  }

  #runLength(mark) {
    let end = this.at + 1;
    while (this.text[end] === mark) end += 1;
    return end - this.at;
  }

  /** Whether what stands between `this.at` and `end` can open, and can close. */
  #flanks(end) {
    const before = characterBefore(this.text, this.at);
    const after = characterAfter(this.text, end);
    return {
      opens: after !== "" && !/\s/.test(after) && !isWord(before),
      closes: before !== "" && !/\s/.test(before) && !isWord(after),
    };
  }

  /** The next run of exactly `length` backticks from `from` on, or -1; only ever asked for growing places. */
  #codeEnd(length, from) {
    this.codeEnds ??= listRuns(this.text);
    const runs = this.codeEnds.get(length);
    if (runs === undefined) return -1;
    while (runs.next < runs.starts.length && runs.starts[runs.next] < from) runs.next += 1;
    return runs.starts[runs.next] ?? -1;
  }

  #findOpen(matches) {
    return this.open.findLastIndex((one) => matches(one.kind));
  }

  #push(kind, text) {
    if (this.open.length === DEEPEST) this.open.shift();
    this.open.push({ kind, at: this.nodes.length, links: this.links });
    this.#addText(text);
  }

  /** Puts all that came after the open mark into a node; marks left open within stay as they were typed. */
  #close(partner) {
    const { kind, at } = this.open[partner];
    const children = this.nodes.splice(at + 1);
    this.nodes[at] = { type: TYPES[kind], children };
    this.open.length = partner;
  }

  #takePlain(end) {
    if (end > this.plainFrom) this.#addText(this.text.slice(this.plainFrom, end));
    this.plainFrom = end;
  }

  #addText(text) {
    this.nodes.push({ type: "text", text });
  }
}

function listRuns(text) {
  const runs = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!runs.has(run.length)) runs.set(run.length, { starts: [], next: 0 });
    runs.get(run.length).starts.push(index);
  }
  return runs;
}

function joinTexts(nodes) {
  const joined = [];
  for (const node of nodes) {
    const last = joined.at(-1);
    if (node.type === "text" && last?.type === "text") last.text += node.text;
    else if (node.type === "text") joined.push({ ...node });
    else joined.push("children" in node ? { ...node, children: joinTexts(node.children) } : node);
  }
  return joined;
}

function isWord(character) {
  return WORD.test(character) && !UNSPACED.test(character);
}

function characterBefore(text, at) {
  const low = text.charCodeAt(at - 1);
  return at > 1 && low >= 0xdc00 && low <= 0xdfff ? text.slice(at - 2, at) : (text[at - 1] ?? "");
}

function characterAfter(text, at) {
  const point = text.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}
