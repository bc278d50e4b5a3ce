/** The small markdown: what people type is shown as they mean it, and hostile input costs nothing. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { parseMarkup } from "../../chat_service/web/app/chat/markup/blocks.js";
import { isFewEmoji } from "../../chat_service/web/app/chat/markup/emoji.js";
import { parseInline } from "../../chat_service/web/app/chat/markup/inline.js";
import { summarise } from "../../chat_service/web/app/chat/markup/summary.js";

/** A tree in short: tags around text, so that a test reads as what a reader would see. */
function show(nodes) {
  return nodes
    .map((node) => {
      switch (node.type) {
        case "text":
          return node.text;
        case "code":
          return `<code>${node.text}</code>`;
        case "link":
          return `<a ${node.href}>${node.text}</a>${node.note === null ? "" : `(${node.note})`}`;
        case "labelled":
          return `<a ${node.href}>${show(node.children)}</a>(${node.note})`;
        default: {
          const tag = { strong: "b", emphasis: "i", strike: "s" }[node.type];
          return `<${tag}>${show(node.children)}</${tag}>`;
        }
      }
    })
    .join("");
}

function showBlocks(blocks) {
  return blocks
    .map((block) => {
      switch (block.type) {
        case "paragraph":
          return `<p>${show(block.children)}</p>`;
        case "code_block":
          return `<pre>${block.text}</pre>`;
        case "quote":
          return `<q>${showBlocks(block.blocks)}</q>`;
        default:
          return `<list>${block.items.map((item) => `<${item.number ?? "-"}>${show(item.children)}`).join("")}</list>`;
      }
    })
    .join("");
}

const inline = (text) => show(parseInline(text));
const blocks = (text) => showBlocks(parseMarkup(text));

describe("marks within a line", () => {
  const cases = {
    "**bold** and *italic*": "<b>bold</b> and <i>italic</i>",
    "***both***": "<b><i>both</i></b>",
    "~~gone~~ here": "<s>gone</s> here",
    "**bold *and italic***": "<b>bold <i>and italic</i></b>",
    "*a **b** c*": "<i>a <b>b</b> c</i>",
    "2*3*4 = 24, 5 * 6 * 7": "2*3*4 = 24, 5 * 6 * 7",
    "**never closed": "**never closed",
    "*a **b* c**": "<i>a **b</i> c**",
    "這是**重要**的": "這是<b>重要</b>的",
    "**Xin chào**, bạn": "<b>Xin chào</b>, bạn",
    "a ~ b ~~~ c": "a ~ b ~~~ c",
    "**** and ** and ~~": "**** and ** and ~~",
    "use `a*b*c` now": "use <code>a*b*c</code> now",
    "``a ` b``": "<code>a ` b</code>",
    "`` ` ``": "<code>`</code>",
    "`open **and** on": "`open <b>and</b> on",
    "\\*not italic\\*": "*not italic*",
    "C:\\new\\*": "C:\\new*",
    "snake_case_name": "snake_case_name",
    "[brackets] stay (so)": "[brackets] stay (so)",
    "ends with \\": "ends with \\",
  };
  for (const [text, expected] of Object.entries(cases)) {
    it(text, () => assert.equal(inline(text), expected));
  }
});

describe("links", () => {
  const cases = {
    "see https://example.org/a?b=1#c.": "see <a https://example.org/a?b=1#c>https://example.org/a?b=1#c</a>.",
    "(https://example.org/a_(b))": "(<a https://example.org/a_(b)>https://example.org/a_(b)</a>)",
    "[https://example.org]": "[<a https://example.org/>https://example.org</a>]",
    "“https://example.org/x”, yes": "“<a https://example.org/x>https://example.org/x</a>”, yes",
    "**https://example.org**": "<b><a https://example.org/>https://example.org</a></b>",
    "Really https://example.org/?!": "Really <a https://example.org/>https://example.org/</a>?!",
    "www.example.org/x": "<a https://www.example.org/x>www.example.org/x</a>",
    "www. and www.. stay": "www. and www.. stay",
    "mailto:an@example.org now": "<a mailto:an@example.org>mailto:an@example.org</a> now",
    "mailto:nobody": "mailto:nobody",
    "HTTPS://EXAMPLE.ORG/Path": "<a https://example.org/Path>HTTPS://EXAMPLE.ORG/Path</a>",
    "看https://example.org/路。然后": "看<a https://example.org/%E8%B7%AF>https://example.org/路</a>。然后",
    "javascript:alert(1) data:text/html,x": "javascript:alert(1) data:text/html,x",
    "javascript:http://a.b": "javascript:<a http://a.b/>http://a.b</a>",
    "xhttp://example.org": "xhttp://example.org",
    "http:// and https://": "http:// and https://",
    "[site](https://example.org/a)": "<a https://example.org/a>site</a>(example.org)",
    "[x](javascript:alert(1))": "[x](javascript:alert(1))",
    "[x](data:text/html,<b>)": "[x](data:text/html,<b>)",
    "[**b**](mailto:an@example.org)": "<a mailto:an@example.org><b>b</b></a>(an@example.org)",
    "a] b](https://example.org)": "a] b](<a https://example.org/>https://example.org</a>)",
    "[https://bank.example](https://evil.example)":
      "[<a https://bank.example/>https://bank.example</a>](<a https://evil.example/>https://evil.example</a>)",
  };
  for (const [text, expected] of Object.entries(cases)) {
    it(text, () => assert.equal(inline(text), expected));
  }

  it("tells the true host where an address reads like another", () => {
    const host = (text) => parseInline(text)[0].note;
    assert.equal(host("https://p\u0430ypal.com/"), "xn--pypal-4ve.com");
    assert.equal(host("https://bank.com@evil.com/"), "evil.com");
    assert.equal(host("https://bank.com:x@evil.com/"), "evil.com");
    assert.equal(host("http://2130706433/"), "127.0.0.1");
    assert.equal(host("https://bank.com%2eevil.com/"), "bank.com.evil.com");
    assert.equal(host("https://ex\u200bample.com/"), "example.com");
    assert.equal(host("https://example.com:8443/a"), null);
    assert.equal(host("https://Example.COM"), null);
  });

  it("ends an address where the direction of the text is changed", () => {
    const [link, rest] = parseInline("https://example.org/\u202egpj.exe");
    assert.equal(link.href, "https://example.org/");
    assert.equal(rest.text, "\u202egpj.exe");
  });
});

describe("blocks", () => {
  const cases = {
    "one\n\ntwo\n": "<p>one\n\ntwo</p>",
    "```\na *b*\n\nc\n```": "<pre>a *b*\n\nc</pre>",
    "```js\nlet a;\n```\nafter": "<pre>let a;</pre><p>after</p>",
    "```one line```": "<pre>one line</pre>",
    "```code\nmore```": "<pre>more</pre>",
    "```let a = 1;\nmore```": "<pre>let a = 1;\nmore</pre>",
    "```\nnever closed": "<p>```\nnever closed</p>",
    "> a\n> *b*\nc": "<q><p>a\n<i>b</i></p></q><p>c</p>",
    "> > deep\n> up": "<q><q><p>deep</p></q><p>up</p></q>",
    ">:( no": "<p>>:( no</p>",
    "- a\n- **b**\n  more": "<list><->a<->" + "<b>b</b>\nmore</list>",
    "1. a\n7. b": "<list><1>a<7>b</list>",
    "-5 degrees": "<p>-5 degrees</p>",
    "2026. was good": "<p>2026. was good</p>",
    "a\r\nb\rc": "<p>a\nb\nc</p>",
    "  indented": "<p>  indented</p>",
  };
  for (const [text, expected] of Object.entries(cases)) {
    it(JSON.stringify(text), () => assert.equal(blocks(text), expected));
  }
});

/** The least processor time of some runs: what else the machine does must not count. */
function cpuMs(run) {
  const runs = Array.from({ length: 5 }, () => {
    const began = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1000;
  });
  return Math.min(...runs);
}

describe("hostile input", () => {
  const pieces = [
    "*", "**", "* ", "*a ", "*a* ", "a**", "~~", "~~a ", "`", "`a", "``a`", "[", "]", "[a", "[a](", "[](", "[a](http://",
    "[a](http://a) ", "](http://a)", "http://", "http://[", "http://a(", "http://a)", "www.", "mailto:", "mailto:a@",
    ">", "> ", ">> ", "- ", "- a\n", "1. ", "```", "```\n", "```a\n", "\n", "\\", "\\*", "*[`~", "*a **b ~~c `d [e](",
    "\u202e", "👩‍👩‍👧 ", "h", "w", "m", "_", "a*b_",
  ];
  for (const piece of pieces) {
    it(`${JSON.stringify(piece)} over and over costs in proportion to its length`, () => {
      const repeat = (length) => piece.repeat(Math.ceil(length / piece.length)).slice(0, length);
      const [short, long] = [2_500, 20_000].map((length) => cpuMs(() => parseMarkup(repeat(length))));
      // Eight times the length: squared it would be 64 times the cost. Half a millisecond is measured as nothing.
      assert.ok(long < 24 * Math.max(short, 0.5), `${short} ms, then ${long} ms`);
    });
  }

  it("nests no deeper than a few levels", () => {
    const inner = (node) => node.children ?? node.blocks ?? [];
    const depth = (nodes) => Math.max(0, ...nodes.map((node) => 1 + depth(inner(node))));
    const text = `${"*a **b ".repeat(500)}${"c** d* ".repeat(500)}`;
    assert.ok(depth(parseInline(text)) <= 9);
    assert.ok(depth(parseMarkup(`${"> ".repeat(2_000)}a`)) <= 5);
  });
});

describe("a message in one line", () => {
  it("leaves out the marks", () => {
    assert.equal(summarise("**Hi**\n> *there*\n- `a`\n- b"), "Hi there a b");
    assert.equal(summarise("```\nlet a;\n```"), "let a;");
  });

  it("ends with an ellipsis where it is cut", () => {
    assert.equal(summarise("abcdef", 3), "abc…");
    assert.equal(summarise("👍".repeat(10), 2), "👍👍…");
    assert.equal(summarise("abe\u0301d", 3), "ab…");
    assert.equal(summarise(`${"a".repeat(399)}👍`), `${"a".repeat(160)}…`);
  });
});

describe("emoji alone", () => {
  it("is recognised up to three", () => {
    for (const text of ["👍", " 👍🏽 ", "👩‍👩‍👧 ❤️", "🇻🇳", "1️⃣", "😀😀😀"]) assert.ok(isFewEmoji(text), text);
    for (const text of ["", "👍 ok", "1", "©", "😀😀😀😀", "#", "-"]) assert.ok(!isFewEmoji(text), text);
  });
});
