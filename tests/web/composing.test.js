/** What is sent: counted as the service counts, and without what it would refuse. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { isComposing } from "../../chat_service/web/app/ui/is-composing.js";
import { beginningOf, cleanMessage, countCharacters } from "../../chat_service/web/app/chat/text-length.js";

describe("the length of a text", () => {
  it("is counted in code points", () => {
    for (const text of ["", "abc", "Tiếng Việt", "👍", "a👍b👍", "\ud83d", "\udc4d\ud83d", "👩‍👩‍👧"]) {
      assert.equal(countCharacters(text), [...text].length, JSON.stringify(text));
    }
  });
});

describe("the beginning of a text", () => {
  it("holds whole characters only", () => {
    for (const character of ["👍", "e\u0302\u0301", "👍🏽", "👩‍👩‍👧", "❤️"]) {
      for (let most = 2; most < 2 + character.length; most += 1) {
        assert.equal(beginningOf(`ab${character}`, most), "ab", `${character} at ${most}`);
      }
      assert.equal(beginningOf(`ab${character}c`, 2 + character.length), `ab${character}`);
    }
    assert.equal(beginningOf("\u0301".repeat(500), 400).length, 336);
    assert.equal(beginningOf("\u0301".repeat(500), 10), "");
    assert.equal(beginningOf("abc", 0), "");
  });
});

describe("an Enter that ends a composed word", () => {
  it("is told from one that sends, also in Safari", () => {
    assert.equal(isComposing({ isComposing: true, keyCode: 13 }), true);
    assert.equal(isComposing({ isComposing: false, keyCode: 229 }), true);
    assert.equal(isComposing({ isComposing: false, keyCode: 13 }), false);
  });
});

describe("the text as it is sent", () => {
  const cases = {
    "  code stays indented": "  code stays indented",
    "\n \n\nHello \n": "Hello",
    "one\n\ntwo": "one\n\ntwo",
    " \n\t": "",
    "a\0b": "ab",
    "half \ud83d end": "half \ufffd end",
    "\udc4d": "\ufffd",
    "whole 👍": "whole 👍",
  };
  for (const [text, expected] of Object.entries(cases)) {
    it(JSON.stringify(text), () => assert.equal(cleanMessage(text), expected));
  }
});
