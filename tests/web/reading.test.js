/** How far one has read: what moves the position, and where the unread line stands. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import "./import-map.js";

const { Reading } = await import("../../chat_service/web/app/chat/reading.js");

/** A chat as far as reading is concerned, which counts as the service does. */
function aChat({ lastSeq, readSeq }) {
  return {
    lastSeq,
    readSeq,
    get unread() {
      return this.lastSeq - this.readSeq;
    },
    markRead(seq) {
      this.readSeq = seq;
    },
  };
}

function aReader(chat) {
  const reader = { isThere: true };
  reader.reading = new Reading(chat, () => reader.isThere);
  return reader;
}

const allKnown = { isKnown: () => true, isHidden: () => false };

describe("the unread line", () => {
  it("stands where one stopped when a chat is opened", () => {
    assert.equal(aReader(aChat({ lastSeq: 10, readSeq: 7 })).reading.unreadFrom.value, 8);
    assert.equal(aReader(aChat({ lastSeq: 10, readSeq: 10 })).reading.unreadFrom.value, null);
  });

  it("does not appear under the eyes of somebody who reads along", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 10 });
    const { reading } = aReader(chat);
    chat.lastSeq = 11;
    reading.follow(true);
    assert.equal(reading.unreadFrom.value, null);
  });

  it("appears above what came while one was away, and stays at the first of it", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 10 });
    const reader = aReader(chat);
    reader.isThere = false;
    for (chat.lastSeq = 11; chat.lastSeq < 14; chat.lastSeq += 1) reader.reading.follow(true);
    assert.equal(reader.reading.unreadFrom.value, 11);
  });

  it("moves on when all was read before one went away again", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 7 });
    const reader = aReader(chat);
    reader.reading.see(10, allKnown);
    reader.reading.follow(true);
    reader.isThere = false;
    chat.lastSeq = 12;
    reader.reading.follow(true);
    assert.equal(reader.reading.unreadFrom.value, 11);
  });

  it("appears for who reads further up, and goes when one writes", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 10 });
    const { reading } = aReader(chat);
    chat.lastSeq = 11;
    reading.follow(false);
    assert.equal(reading.unreadFrom.value, 11);
    reading.clear();
    assert.equal(reading.unreadFrom.value, null);
  });
});

describe("the read position", () => {
  it("follows the newest message that was in view, and never goes back", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 3 });
    const { reading } = aReader(chat);
    reading.see(6, allKnown);
    assert.equal(chat.readSeq, 6);
    reading.see(5, allKnown);
    assert.equal(chat.readSeq, 6);
  });

  it("stays while nobody looks", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 3 });
    const reader = aReader(chat);
    reader.isThere = false;
    reader.reading.see(10, allKnown);
    assert.equal(chat.readSeq, 3);
  });

  it("counts neither what is not loaded nor a message that is still being sent", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 3 });
    const { reading } = aReader(chat);
    reading.see(12, { isKnown: (seq) => seq <= 7, isHidden: () => false });
    assert.equal(chat.readSeq, 7);
  });

  it("takes hidden messages after the last visible one along", () => {
    const chat = aChat({ lastSeq: 10, readSeq: 3 });
    const { reading } = aReader(chat);
    reading.see(8, { isKnown: () => true, isHidden: (seq) => seq > 8 });
    assert.equal(chat.readSeq, 10);
  });
});
