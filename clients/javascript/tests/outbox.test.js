/** What is written and not yet sent: refusals, retries, and storage that does not work. */

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {ChatClient, MemoryStorage, makeKey} from "../src/index.js";
import {Network} from "./network.js";
import {PASSWORD, aBrowser, aName, aPerson, aTab, chatOf, eventually, idOf, keep, live, messageOf, pause, refused, stopAll, textsOf} from "./people.js";
import {tokenStore} from "./platform.js";
import {Server} from "./server.js";

/** @type {Server} */
let server;
/** @type {Network} */
let network;
/** @type {ChatClient} */
let an;

before(async () => {
  server = await Server.start({CHAT_MAX_MESSAGE_CHARS: "100"});
  network = await Network.start(server.port);
  an = await aPerson(server.url, "An");
});
after(async () => {
  stopAll();
  await network.stop();
  await server.remove();
});

/** @param {import("../src/types.js").Options} [options] */
async function aWriter(options = {}) {
  const client = await aPerson(network.url, "Mai", {random: () => 0.05, ...options});
  const mine = await client.openDirect(idOf(an));
  const theirs = await eventually(() => an.chats.get(mine.id));
  return {client, mine, theirs};
}

test("A refused message fails with its error, and does not hold up the next", async () => {
  const {client, mine, theirs} = await aWriter();
  mine.send("x".repeat(101));
  mine.send("short");
  await eventually(() => mine.pending[0]?.state === "failed");
  const [failed] = mine.pending;
  assert.equal(failed.error?.code, "invalid_request");
  assert.equal(mine.status(failed), "failed");
  await eventually(() => theirs.lastMessage?.content === "short");
  await eventually(() => mine.pending.length === 1);
  assert.deepEqual(mine.pending, [failed]);
  mine.retry(failed);
  assert.equal(mine.pending[0].state, "queued");
  assert.equal(mine.pending[0].client_message_id, failed.client_message_id);
  await eventually(() => mine.pending[0]?.state === "failed");
  mine.discard(mine.pending[0]);
  assert.deepEqual(mine.pending, []);
  client.stop();
});

test("An answer that is lost does not double a message", async () => {
  const {mine, theirs} = await aWriter();
  network.judge = (frame) => (frame.type === "ack" && frame.message ? "drop" : frame.type === "new_message" ? "drop" : "pass");
  mine.send("once");
  await eventually(() => theirs.lastMessage?.content === "once");
  assert.equal(mine.pending.length, 1, "it cannot know");
  network.judge = () => "pass";
  network.cut();
  await eventually(() => mine.pending.length === 0);
  await pause(200);
  assert.deepEqual(await textsOf(theirs), ["once"]);
  assert.deepEqual(await textsOf(mine), ["once"]);
});

test("A failed message, a draft and their order outlive a reload", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const {client, mine} = await aWriter(device);
  mine.send("x".repeat(101));
  await eventually(() => mine.pending[0]?.state === "failed");
  network.isDown = true;
  network.cut();
  await eventually(() => client.connection === "offline");
  for (const text of ["a", "b", "c"]) mine.send(text);
  mine.setDraft("d");
  client.stop();
  await pause(50);
  const again = keep(new ChatClient({url: network.url, session: "tokens", ...device, random: () => 0.05}));
  await again.restore();
  const chat = chatOf(again, mine.id);
  assert.deepEqual(chat.pending.map((one) => [one.content.slice(0, 1), one.state]),
    [["x", "failed"], ["a", "queued"], ["b", "queued"], ["c", "queued"]]);
  assert.equal(chat.pending[0].error?.code, "invalid_request");
  assert.equal(chat.draft, "d");
  network.isDown = false;
  again.start();
  await eventually(() => chat.lastSeq === 3);
  assert.deepEqual(await textsOf(chat), ["a", "b", "c"]);
});

test("The limits are known after a start without a network, and follow the service", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const {client} = await aWriter(device);
  client.stop();
  await pause(50);
  network.isDown = true;
  network.cut();
  const again = keep(new ChatClient({url: network.url, session: "tokens", ...device, random: () => 0.05}));
  await again.restore();
  again.start();
  await eventually(() => again.connection === "offline");
  assert.equal(again.info, null);
  network.isDown = false;
  await eventually(() => again.info?.limits.message_chars === 100);
  network.judge = (frame) =>
    frame.type === "connected" ? {instead: {...frame, limits: {...frame.limits, message_chars: 50}}} : "pass";
  network.cut();
  await eventually(() => again.info?.limits.message_chars === 50, "the service has been started with another limit");
  network.judge = () => "pass";
  again.stop();
});

test("What came while there was no connection is told once for each chat", async () => {
  const {client, mine, theirs} = await aWriter();
  /** @type {string[]} */
  const heard = [];
  client.on("message", ({message}) => heard.push(message.content));
  client.on("missed", ({chat, message, count}) => heard.push(`${count} in ${chat.id}: ${message.content}`));
  theirs.send("live");
  await eventually(() => heard.length === 1);
  network.isDown = true;
  network.cut();
  await eventually(() => client.connection === "offline");
  for (const text of ["one", "two", "three"]) theirs.send(text);
  await eventually(() => theirs.pending.length === 0);
  network.isDown = false;
  await eventually(() => mine.lastMessage?.content === "three" && heard.length > 1);
  assert.deepEqual(heard, ["live", `3 in ${mine.id}: three`]);
  client.stop();
});

test("A clock that is wrong does not keep a chat on top", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const {client, mine} = await aWriter(device);
  const group = await client.createGroup("Later", []);
  client.stop();
  await pause(50);
  network.isDown = true;
  network.cut();
  const ahead = {now: () => Date.now() + 400 * 86_400_000};
  const again = keep(new ChatClient({url: network.url, session: "tokens", ...device, ...ahead, random: () => 0.05}));
  await again.restore();
  again.start();
  chatOf(again, mine.id).send("from the future");
  assert.equal(again.sortedChats()[0].id, mine.id);
  network.isDown = false;
  await eventually(() => again.connection === "online" && !chatOf(again, mine.id).pending.length);
  chatOf(again, group.id).send("later");
  await eventually(() => chatOf(again, group.id).lastMessage?.content === "later");
  await eventually(() => again.sortedChats()[0].id === group.id);
  again.stop();
});

test("Writing to several chats waits for none of them", async () => {
  const {client, mine} = await aWriter();
  const group = await client.createGroup("Other", []);
  for (let at = 0; at < 100; at++) mine.send(`${at}`);
  group.send("at once");
  await eventually(() => group.lastMessage?.content === "at once");
  assert(mine.pending.length > 50, `${mine.pending.length} wait`);
  await eventually(() => mine.pending.length === 0);
});

test("Who was removed while offline sees the message fail, and the chat go", async () => {
  const {client} = await aWriter();
  const theirs = await an.createGroup("Group", [idOf(client)]);
  const mine = await eventually(() => client.chats.get(theirs.id));
  network.isDown = true;
  network.cut();
  await eventually(() => client.connection === "offline");
  mine.send("too late");
  await theirs.removeParticipant(idOf(client));
  network.isDown = false;
  await eventually(() => !client.chats.has(theirs.id));
  await pause(300);
  await theirs.addParticipants([idOf(client)]);
  const again = await eventually(() => client.chats.get(theirs.id));
  assert.deepEqual(again.pending.map((one) => [one.content, one.error?.code]), [["too late", "not_found"]]);
  again.retry(again.pending[0]);
  await eventually(() => theirs.lastMessage?.content === "too late");
});

test("What is acknowledged while the storage is being read does not come back", async () => {
  const storage = new MemoryStorage();
  /** @type {Promise<void>|null} */
  let hold = null;
  const slow = new Proxy(storage, {
    get: (target, name) => async (/** @type {any[]} */ ...given) => {
      const answer = await /** @type {any} */ (target)[name](...given);
      if (name === "list") await hold;
      return answer;
    },
  });
  const device = {...aBrowser(), storage: slow};
  const writing = aTab(network.url, device);
  const username = aName("mai");
  await writing.register({username, email: `${username}@example.org`, password: PASSWORD});
  writing.start();
  await live(writing);
  const mine = await writing.openDirect(idOf(an));
  const other = aTab(network.url, device);
  await other.restore();
  other.start();
  await live(other);
  network.judge = (frame) => (frame.type === "ack" || frame.type === "new_message" ? "drop" : "pass");
  mine.send("once");
  await eventually(() => chatOf(other, mine.id).pending.length === 1);
  let release = () => {};
  hold = new Promise((resolve) => { release = resolve; });
  chatOf(other, mine.id).send("makes the first tab read");
  await pause(100);
  network.judge = () => "pass";
  network.cut();
  await eventually(() => mine.pending.length === 0, "acknowledged after the reconnect");
  release();
  hold = null;
  for (let looks = 0; looks < 20; looks++) {
    assert.deepEqual(mine.pending.filter((one) => one.content === "once"), []);
    await pause(10);
  }
  writing.stop();
  other.stop();
});

test("A group whose answer was lost is made once", async () => {
  const {client} = await aWriter();
  const key = makeKey();
  network.losesAnswers = true;
  await refused(client.createGroup("Once", [idOf(an)], {key}), "network");
  network.losesAnswers = false;
  const group = await client.createGroup("Once", [idOf(an)], {key});
  assert.notEqual((await client.createGroup("Once", [idOf(an)])).id, group.id);
  assert.equal([...client.chats.values()].filter((one) => one.title === "Once").length, 2);
  client.stop();
});

test("Rate limits are waited for", async () => {
  const strict = await Server.start({CHAT_RATE_LIMITS_ENABLED: "true"});
  try {
    const client = await aPerson(strict.url, "Mai");
      const groups = await Promise.all(Array.from({length: 8}, (_, at) => client.createGroup(`${at}`, [])));
    for (let at = 0; at < 40; at++) for (const group of groups) group.send(`${at}`);
    await eventually(() => groups.every((group) => !group.pending.length), "all is sent", 30_000);
    for (const group of groups) assert.deepEqual(await textsOf(group), Array.from({length: 40}, (_, at) => `${at}`));
    client.stop();
  } finally {
    await strict.remove();
  }
});

for (const [what, storage] of /** @type {const} */ ([
  ["fails", {get: broken, set: broken, delete: broken, list: broken, clear: broken}],
  ["never answers", {get: silent, set: silent, delete: silent, list: silent, clear: silent}],
])) {
  test(`A storage that ${what} does no harm`, {timeout: 30_000}, async () => {
    const {mine, theirs} = await aWriter({storage});
    mine.setDraft("kept in memory");
    mine.send("sent all the same");
    await eventually(() => theirs.lastMessage?.content === "sent all the same");
    await eventually(() => mine.pending.length === 0);
    assert.equal(mine.draft, "kept in memory");
    assert.equal(messageOf(mine, 1).content, "sent all the same");
  });
}

/** @returns {Promise<any>} */
async function broken() {
  throw new Error("blocked");
}

/** @returns {Promise<any>} */
function silent() {
  return new Promise(() => {});
}
