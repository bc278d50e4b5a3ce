/** The loaded part of a chat: what is known, what is hidden, and how much is kept. */

import assert from "node:assert/strict";
import {test} from "node:test";
import {History} from "../src/history.js";
import {dice} from "./people.js";

/** @param {number} seq @param {number} [version] @returns {any} */
function aMessage(seq, version = seq) {
  return {seq, version, content: `${seq} at ${version}`};
}

/** @param {number} from @param {number} to */
function messages(from, to) {
  return Array.from({length: to - from + 1}, (_, at) => aMessage(from + at));
}

/** @param {History} history @param {number} from @param {number} to */
function countHeld(history, from, to) {
  let held = 0;
  for (let seq = from; seq <= to; seq++) if (history.get(seq)) held++;
  return held;
}

test("What a loaded range does not hold is hidden; what was not asked for is not", async () => {
  const history = new History();
  await history.load(1, 10, async () => [aMessage(2), aMessage(3), aMessage(9)]);
  assert.deepEqual([1, 2, 9, 10, 11].map((seq) => history.isHidden(seq)), [true, false, false, true, false]);
  assert.deepEqual(history.findGap(5, 15), {from: 11, to: 15});
  assert.equal(history.findGap(3, 10), null);
  assert.equal(history.take(aMessage(5), false), false, "a push about a hidden one is ignored");
});

test("The newer version counts, whichever comes first", async () => {
  const history = new History();
  await history.load(1, 3, async () => {
    // An edit is heard while an older page is on its way.
    assert.equal(history.take(aMessage(2, 9), false), false);
    return messages(1, 3);
  });
  assert.equal(history.get(2)?.version, 9);
  assert.equal(history.take(aMessage(2, 5), false), false);
  assert.equal(history.take(aMessage(2, 10), false), true);
  assert.equal(history.get(2)?.version, 10);
});

test("A message that is hidden while its page is on the way stays hidden", async () => {
  const history = new History();
  await history.load(1, 3, async () => {
    history.hide(2);
    return messages(1, 3);
  });
  assert(history.isHidden(2));
  assert.equal(history.get(2), undefined);
});

test("A page that was asked for before everything was forgotten is not taken", async () => {
  const history = new History();
  await history.load(1, 3, async () => {
    history.clear();
    return messages(1, 3);
  });
  assert.equal(history.get(1), undefined);
});

test("Memory is bounded around what is looked at", async () => {
  const history = new History();
  history.focus(1, 50, 100_000);
  for (let from = 1; from <= 100_000; from += 100) {
    history.focus(from, from + 99, 100_000);
    await history.load(from, from + 99, async () => messages(from, from + 99));
  }
  assert(countHeld(history, 1, 100_000) <= 1_250);
  assert.equal(countHeld(history, 99_901, 100_000), 100);
  history.focus(99_901, 100_000, 100_000);
  for (let seq = 100_001; seq <= 110_000; seq++) history.take(aMessage(seq), true);
  assert(countHeld(history, 1, 110_000) <= 1_250);
  assert.equal(countHeld(history, 109_950, 110_000), 51, "who looks at the newest keeps the newest");
  assert(!history.isLoaded(100));
  history.blur();
  assert(countHeld(history, 1, 110_000) <= 63);
});

test("Ranges stay true whatever is loaded, hidden and dropped", async () => {
  const roll = dice(4);
  const history = new History();
  const hidden = new Set(Array.from({length: 200}, () => 1 + Math.floor(roll() * 5_000)));
  for (let round = 0; round < 400; round++) {
    const from = 1 + Math.floor(roll() * 4_900);
    const to = from + Math.floor(roll() * 100);
    history.focus(from, to, 5_000);
    await history.load(from, to, async () => messages(from, to).filter(({seq}) => !hidden.has(seq)));
    for (let seq = from; seq <= to; seq++) {
      assert.equal(history.isHidden(seq), hidden.has(seq));
      assert.equal(history.get(seq) === undefined, hidden.has(seq));
    }
    for (let seq = 1; seq <= 5_000; seq += 7) {
      if (history.isHidden(seq)) assert(hidden.has(seq), `${seq} is not hidden`);
    }
  }
});

test("Originals of replies are kept apart, in number and in place, and follow what is heard", async () => {
  const history = new History();
  history.focus(5_000, 5_000, 5_000);
  await history.load(4_901, 5_000, async () => messages(4_901, 5_000));
  for (let seq = 10; seq <= 4_000; seq += 10) await history.loadOriginal(seq, async () => [aMessage(seq)]);
  assert.equal(countHeld(history, 4_901, 5_000), 100);
  assert(!history.isLoaded(4_000), "the ranges know nothing of it");
  assert.equal(history.findOriginal(4_000)?.seq, 4_000);
  assert.equal(history.findOriginal(5_000)?.seq, 5_000);
  assert.equal(history.findOriginal(10), undefined, "the oldest is forgotten, and can be asked for again");
  assert.equal(history.take(aMessage(4_000, 9_000), false), true);
  assert.equal(history.findOriginal(4_000)?.version, 9_000);
  history.hide(4_000);
  assert.equal(history.findOriginal(4_000), null);
  await history.loadOriginal(7, async () => {
    assert.equal(history.take(aMessage(7, 9_001), false), false, "not shown yet");
    return [aMessage(7)];
  });
  assert.equal(history.findOriginal(7)?.version, 9_001);
  await history.loadOriginal(8, async () => [aMessage(9)]);
  assert.equal(history.findOriginal(8), null, "what comes in its place says that it is hidden");
  history.clear();
  assert.equal(history.findOriginal(7), undefined);
  await history.loadOriginal(7, async () => {
    history.clear();
    return [aMessage(7)];
  });
  assert.equal(history.findOriginal(7), undefined);
});
