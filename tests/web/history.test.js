/** The virtual list: where rows lie, what is drawn, and that nothing jumps when heights become known. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { anchorFrom, atEnd, atRow, rowsAround, scrollTopFor } from "../../chat_service/web/app/chat/history/anchor.js";
import { Heights } from "../../chat_service/web/app/chat/history/heights.js";
import { Rows } from "../../chat_service/web/app/chat/history/rows.js";
import { Track } from "../../chat_service/web/app/chat/history/track.js";

const VIEW = 600;
const noKey = () => null;
const known = () => true;

function aTrack(lastSeq, pending = []) {
  const track = new Track();
  track.sync(lastSeq, pending, noKey);
  return track;
}

/** A small generator, so that a failure can be repeated. */
function randomFrom(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state % below;
  };
}

describe("heights", () => {
  it("agree with plain sums, whatever is appended, set and cut off", () => {
    const random = randomFrom(7);
    const heights = new Heights();
    let plain = [];
    for (let round = 0; round < 3_000; round += 1) {
      const what = random(10);
      if (what < 6) {
        plain.push(random(4) === 0 ? 0 : random(200));
        heights.append(plain.at(-1));
      } else if (what < 9 && plain.length > 0) {
        const at = random(plain.length);
        plain[at] = random(300);
        heights.set(at + 1, plain[at]);
      } else if (random(20) === 0) {
        plain = plain.slice(0, random(plain.length + 1));
        heights.truncate(plain.length);
      }
      const before = random(plain.length + 1);
      const sum = plain.slice(0, before).reduce((total, height) => total + height, 0);
      assert.equal(heights.offsetOf(before + 1), sum);
    }
    const total = plain.reduce((sum, height) => sum + height, 0);
    assert.equal(heights.total, total);
    for (let offset = 0; offset < total; offset += 37) {
      const index = heights.indexAt(offset);
      assert.ok(heights.offsetOf(index) <= offset && offset < heights.offsetOf(index + 1));
    }
    assert.equal(heights.indexAt(total + 1_000), plain.length);
  });

  it("know nothing of rows that are not there", () => {
    const heights = new Heights();
    assert.equal(heights.total, 0);
    assert.equal(heights.indexAt(100), 0);
  });
});

describe("the track", () => {
  it("takes a hundred thousand messages at once", () => {
    const began = performance.now();
    const track = aTrack(100_000);
    assert.equal(track.count, 100_000);
    assert.ok(performance.now() - began < 100);
  });

  it("keeps within what browsers lay out, however long the chat", () => {
    assert.ok(aTrack(5_000_000).total < 16_000_000);
  });

  it("hands the height of a pending message to the message that it becomes", () => {
    const track = aTrack(10, ["a", "b"]);
    track.setHeight(11, 200);
    track.setHeight(12, 300);
    track.sync(12, ["b"], (seq) => (seq === 12 ? "a" : null));
    assert.equal(track.heightOf(12), 200);
    assert.equal(track.heightOf(13), 300);
    assert.equal(track.count, 13);
  });

  it("steps over hidden rows", () => {
    const track = aTrack(20);
    for (let seq = 5; seq <= 15; seq += 1) track.setHeight(seq, 0);
    assert.equal(track.step(4, 2), 17);
    assert.equal(track.step(17, -2), 4);
    assert.equal(track.step(2, -9), 1);
    assert.equal(track.step(19, 9), 20);
  });
});

describe("the anchor", () => {
  it("follows the end while the reader is near it", () => {
    const track = aTrack(1_000);
    const anchor = anchorFrom(track, track.total - VIEW - 10, VIEW, known);
    assert.deepEqual(anchor, atEnd(10));
    track.sync(1_001, [], noKey);
    assert.equal(scrollTopFor(track, atEnd(), VIEW), track.total - VIEW);
  });

  it("keeps a row where it is when rows above it get their heights", () => {
    const track = aTrack(1_000);
    const anchor = anchorFrom(track, 20_000, VIEW, known);
    const seen = track.offsetOf(anchor.index) - 20_000;
    for (let seq = 200; seq < anchor.index; seq += 1) track.setHeight(seq, 30 + (seq % 90));
    const top = scrollTopFor(track, anchor, VIEW);
    assert.equal(track.offsetOf(anchor.index) - top, seen);
  });

  it("prefers a loaded row over one that is not loaded yet", () => {
    const track = aTrack(1_000);
    const first = track.indexAt(20_000);
    const anchor = anchorFrom(track, 20_000, VIEW, (index) => index >= first + 3);
    assert.equal(anchor.index, first + 3);
    assert.equal(anchorFrom(track, 20_000, VIEW, () => false).index, first);
  });

  it("stops at both ends", () => {
    const track = aTrack(100);
    assert.equal(scrollTopFor(track, atRow(1, 300), VIEW), 0);
    assert.equal(scrollTopFor(track, atRow(100, 0), VIEW), track.total - VIEW);
    assert.equal(scrollTopFor(aTrack(2), atEnd(), VIEW), 0);
  });

  it("draws what is in view and a little more, never more than allowed", () => {
    const track = aTrack(100_000);
    const { from, to } = rowsAround(track, 3_000_000, VIEW, 600, 100);
    assert.ok(track.offsetOf(from) <= 3_000_000 - 600 + 64 && track.offsetOf(to + 1) >= 3_000_000 + VIEW + 600);
    for (let seq = from; seq <= to; seq += 1) track.setHeight(seq, 1);
    const most = rowsAround(track, track.offsetOf(from), VIEW, 600, 100);
    assert.ok(most.to - most.from <= 100);
    assert.deepEqual(rowsAround(aTrack(0), 0, VIEW, 600, 100), { from: 1, to: 0 });
  });
});

/** What the rows ask of a chat, from a list: `null` is not loaded, "hidden" is hidden. */
function aChat(entries, pending = []) {
  return {
    lastSeq: entries.length,
    pending,
    message: (seq) => (typeof entries[seq - 1] === "object" ? (entries[seq - 1] ?? undefined) : undefined),
    isHidden: (seq) => entries[seq - 1] === "hidden",
  };
}

function aMessage(senderId, time, more = {}) {
  return { sender_id: senderId, timestamp: `2026-11-${time}:00.000000Z`, client_message_id: null, ...more };
}

const dayOf = (timestamp) => Number(timestamp.slice(8, 10));

describe("rows", () => {
  const rowsOf = (entries, pending) => new Rows(aChat(entries, pending), 1, dayOf);

  it("begin a group with another sender, another day or a pause", () => {
    const rows = rowsOf([
      aMessage(1, "19T09:00"),
      aMessage(1, "19T09:04"),
      aMessage(2, "19T09:04"),
      aMessage(2, "19T09:20"),
      aMessage(2, "20T09:21"),
    ]);
    const starts = [1, 2, 3, 4, 5].map((index) => rows.describe(index, null).startsGroup);
    const ends = [1, 2, 3, 4, 5].map((index) => rows.describe(index, null).endsGroup);
    assert.deepEqual(starts, [true, false, true, true, true]);
    assert.deepEqual(ends, [false, true, true, true, true]);
  });

  it("show the day above its first message, and none where the one before is not loaded", () => {
    const rows = rowsOf([aMessage(1, "19T09:00"), aMessage(1, "19T10:00"), null, aMessage(1, "20T10:00"), "hidden", aMessage(1, "21T10:00")]);
    const days = [1, 2, 3, 4, 6].map((index) => rows.describe(index, null).day !== null);
    assert.deepEqual(days, [true, false, false, false, true]);
    assert.equal(rows.describe(5, null), null);
  });

  it("put the unread line above the first one that can be seen", () => {
    const rows = rowsOf([aMessage(1, "19T09:00"), "hidden", aMessage(1, "19T09:01"), aMessage(1, "19T09:01")]);
    assert.deepEqual([1, 3, 4].map((index) => rows.describe(index, 2).isUnreadStart), [false, true, false]);
    assert.equal(rows.describe(1, 2).endsGroup, true);
    assert.equal(rows.describe(3, 2).startsGroup, true);
  });

  it("name one's own message alike before and after it is acknowledged", () => {
    const pending = aMessage(1, "19T09:00", { client_message_id: "x" });
    const before = rowsOf([aMessage(2, "19T09:00")], [pending]);
    const after = rowsOf([aMessage(2, "19T09:00"), { ...pending, seq: 2 }]);
    assert.equal(before.keyAt(2), after.keyAt(2));
    assert.equal(before.describe(2, null).isOwn, true);
  });
});
