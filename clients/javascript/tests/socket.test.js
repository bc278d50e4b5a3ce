/** The socket by itself: how long it waits for an answer. */

import assert from "node:assert/strict";
import {mock, test} from "node:test";
import {Socket} from "../src/socket.js";

const PATIENCE_MS = 20_000;
const CONNECTED = {type: "connected", heartbeat_s: 20};

/** A connected socket whose server says what the test tells it to. */
async function aSocket() {
  /** @type {any} */
  const wire = {sent: [], send: (/** @type {string} */ text) => wire.sent.push(JSON.parse(text)), close() {}};
  const socket = new Socket({
    open: async () => wire,
    onframe() {},
    onstate() {},
    onclose: () => true,
    random: () => 1,
    now: () => 0,
  });
  socket.start();
  await new Promise((resolve) => setImmediate(resolve));
  const say = (/** @type {object} */ frame) => wire.onmessage({data: JSON.stringify(frame)});
  say(CONNECTED);
  return {socket, wire, say};
}

/** @param {import("node:test").TestContext} context */
function holdTime(context) {
  mock.timers.enable({apis: ["setTimeout", "setInterval"]});
  context.after(() => mock.timers.reset());
}

test("A long answer may take its time as long as parts of it come", async (context) => {
  holdTime(context);
  const {socket, wire, say} = await aSocket();
  const answer = socket.call({type: "resume", cursors: {}});
  const {ref} = wire.sent.at(-1);
  for (let page = 0; page < 3; page++) {
    mock.timers.tick(PATIENCE_MS - 1_000);
    say({type: "changes", ref, chat_id: page});
  }
  say({type: "ack", ref});
  assert.equal((await answer).type, "ack");
  assert(socket.isOnline);
  socket.stop();
});

test("What others say does not stand for an answer", async (context) => {
  holdTime(context);
  const {socket, say} = await aSocket();
  const answer = assert.rejects(socket.call({type: "resume", cursors: {}}), {code: "network"});
  mock.timers.tick(PATIENCE_MS - 1_000);
  say({type: "new_message", chat_id: 1, version: 1});
  say({type: "changes", ref: null, chat_id: 1});
  mock.timers.tick(1_000);
  await answer;
  assert.equal(socket.state, "offline");
  socket.stop();
});

test("Why the server asked not to come back is known until the next start", async () => {
  /** @type {any} */
  const wire = {close() {}};
  const socket = new Socket({
    open: async () => wire,
    onframe() {},
    onstate() {},
    onclose: (code) => code !== 4003,
    random: () => 1,
    now: () => 0,
  });
  socket.start();
  await new Promise((resolve) => setImmediate(resolve));
  wire.onclose({code: 4003, reason: "forbidden"});
  assert.deepEqual([socket.state, socket.stoppedBy], ["stopped", "forbidden"]);
  socket.start();
  assert.equal(socket.stoppedBy, null);
  socket.stop();
});
