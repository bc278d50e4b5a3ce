/** The promise of the package: nothing lost, nothing doubled, order kept, whatever the network does. */

import assert from "node:assert/strict";
import {after, afterEach, before, test} from "node:test";
import {ChatClient, MemoryStorage} from "../src/index.js";
import {Network} from "./network.js";
import {PASSWORD, aPerson, anotherDevice, assertInStep, chatOf, dice, eventually, idOf, keep, live, messageOf, nameOf, pause, stopAll, textsOf} from "./people.js";
import {tokenStore} from "./platform.js";
import {Server} from "./server.js";

const SEED = 20_261_120;

/** @type {Server} */
let server;
/** @type {Network} */
let network;

before(async () => {
  server = await Server.start({CHAT_SECRET_KEY: "0123456789abcdef0123456789abcdef"});
  network = await Network.start(server.port);
});
afterEach(() => {
  network.judge = () => "pass";
  stopAll();
});
after(async () => {
  await network.stop();
  await server.remove();
});

/** Short pauses, so that a test has many reconnects. @param {number} seed */
function hasty(seed) {
  const roll = dice(seed);
  return {random: () => roll() * 0.1};
}

/** Three people in one group, each behind the bad network. @param {string} name */
async function aGroup(name) {
  const people = await Promise.all(["Mai", "An", "Binh"].map((who, at) => aPerson(network.url, who, hasty(SEED + at))));
  const [mai, ...others] = people;
  const chat = await mai.createGroup(name, others.map(idOf));
  await eventually(() => others.every((one) => one.chats.has(chat.id)), "all have the group");
  return {people, chats: people.map((one) => chatOf(one, chat.id))};
}

/** Writes many messages, not one after the other as a client does. @param {ChatClient} person @param {number} chatId @param {number} count */
async function postMany(person, chatId, count) {
  const post = (/** @type {string} */ path, /** @type {object} */ body, token = "") => fetch(`${server.url}/api/v1${path}`, {
    method: "POST",
    headers: {"Content-Type": "application/json", ...(token && {Authorization: `Bearer ${token}`})},
    body: JSON.stringify(body),
  });
  const {access_token} = await (await post("/users/login", {username: nameOf(person), password: PASSWORD})).json();
  for (let at = 0; at < count; at += 100) {
    const some = Array.from({length: Math.min(100, count - at)}, (_, index) => `${at + index}`);
    const answers = await Promise.all(some.map((content) => post("/messages", {chat_id: chatId, content}, access_token)));
    assert(answers.every(({ok}) => ok));
  }
}

test("Hundreds of messages over connections that are cut at random", {timeout: 60_000}, async () => {
  const roll = dice(SEED);
  const {people, chats} = await aGroup("Cuts");
  const each = 100;
  const before = network.cuts;
  network.delayMs = 2;
  /** @type {string[][]} */
  const written = chats.map(() => []);
  for (let at = 0; at < each; at++) {
    chats.forEach((chat, who) => {
      const text = `${who}-${at}`;
      written[who].push(text);
      chat.send(text);
    });
    await pause(roll() * 20);
    if (roll() < 0.2) network.cut();
    if (roll() < 0.04) {
      network.losesAnswers = true;
      await pause(40);
      network.losesAnswers = false;
    }
  }
  await eventually(() => chats.every((chat) => !chat.pending.length), "all is acknowledged", 30_000);
  network.delayMs = 0;
  await eventually(() => chats.every((chat) => chat.lastSeq === each * chats.length), "all has arrived", 20_000);
  assert(network.cuts - before > 10, `${network.cuts - before} connections were cut`);

  const [first, ...rest] = await Promise.all(chats.map(textsOf));
  for (const texts of rest) assert.deepEqual(texts, first, "everybody sees the same");
  assert.equal(new Set(first).size, each * chats.length, "nothing is lost and nothing doubled");
  written.forEach((texts, who) => {
    assert.deepEqual(first.filter((text) => text.startsWith(`${who}-`)), texts, "in the order in which they were written");
  });
  for (const person of people) await assertInStep(server.url, person);
});

test("Pushes that are lost, doubled and swapped are made good", {timeout: 60_000}, async () => {
  const roll = dice(SEED + 1);
  const {people, chats} = await aGroup("Frames");
  const judged = {drop: 0, twice: 0, late: 0};
  network.judge = (frame) => {
    // What a later push shows to be missing; the last frame of a chat is not followed by one.
    if (frame.version === undefined || frame.type === "resync_required" || frame.type === "user_left") return "pass";
    const luck = roll();
    const verdict = luck < 0.1 ? "drop" : luck < 0.2 ? "twice" : luck < 0.3 ? "late" : "pass";
    if (verdict !== "pass") judged[verdict]++;
    return verdict;
  };
  const [mine, ofAn] = chats;
  for (let at = 0; at < 60; at++) {
    chats.forEach((chat, who) => chat.send(`${who}-${at}`));
    await pause(5);
    if (at === 20) await mine.rename("Renamed");
    if (at === 30) await mine.setRole(idOf(people[1]), "admin");
    if (at % 10 === 9 && mine.lastMessage) await mine.delete(mine.lastMessage, "everyone");
    if (at === 45) await ofAn.removeParticipant(idOf(people[2]));
  }
  await eventually(() => chats.slice(0, 2).every((chat) => !chat.pending.length), "all is acknowledged", 20_000);
  network.judge = () => "pass";
  mine.send("the end");
  await eventually(() => ofAn.lastMessage?.content === "the end");
  assert(Math.min(judged.drop, judged.twice, judged.late) > 5, JSON.stringify(judged));
  await eventually(() => !people[2].chats.has(mine.id), "who was removed sees it");
  assert.equal(mine.title, "Renamed");
  for (const person of people) await assertInStep(server.url, person);
});

test("Changes that begin above what is known do not hide what lies below", async () => {
  /** @type {string|undefined} */
  let epoch;
  network.judge = (frame) => {
    epoch ??= frame.epoch;
    return "pass";
  };
  const {chats: [mine, ofAn]} = await aGroup("Above");
  mine.send("before");
  await eventually(() => ofAn.lastMessage?.content === "before" && !mine.pending.length);
  const {version} = ofAn;
  network.judge = (frame) => {
    if (frame.version === version + 1) return "drop";
    if (frame.version !== version + 2) return "pass";
    const nothing = {participants: [], chat: null, hidden: [], positions: [], has_more: false};
    const span = {chat_id: mine.id, epoch, from: version + 1, to: version + 2};
    return {instead: {type: "changes", ref: null, ...span, messages: [frame.message], ...nothing}};
  };
  await mine.edit(messageOf(mine, mine.lastSeq), "edited");
  mine.send("after");
  await eventually(() => ofAn.lastMessage?.content === "after" && ofAn.version === version + 2);
  assert.deepEqual(await textsOf(ofAn), ["edited", "after"]);
});

test("A server that is killed and started again in the middle", {timeout: 60_000}, async () => {
  const {people, chats} = await aGroup("Kill");
  for (let at = 0; at < 60; at++) {
    chats.forEach((chat, who) => chat.send(`${who}-${at}`));
    if (at === 20) await server.stop("SIGKILL");
    if (at === 40) await server.start();
    await pause(5);
  }
  await eventually(() => chats.every((chat) => !chat.pending.length), "all is acknowledged", 30_000);
  await eventually(() => chats.every((chat) => chat.lastSeq === 180));
  const texts = await textsOf(chats[0]);
  chats.forEach((_, who) => assert.deepEqual(
    texts.filter((text) => text.startsWith(`${who}-`)), Array.from({length: 60}, (_, at) => `${who}-${at}`)));

  // An orderly restart says when to come back, and is waited for.
  const asked = eventually(() => people[0].retryAt, "it says when it tries again", 20_000);
  await server.stop("SIGTERM");
  const retryAt = await asked;
  await server.start();
  assert(retryAt > Date.now() - 20_000);
  await eventually(() => people.every((one) => one.connection === "online"), "all are back", 20_000);
  for (const person of people) await assertInStep(server.url, person);
});

test("A page that is reloaded without a network shows what it had, and sends what was written", {timeout: 60_000}, async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null, locks: null};
  const an = await aPerson(server.url, "An");
  const first = await aPerson(network.url, "Mai", {...device, ...hasty(1)});
  const chat = await first.openDirect(idOf(an));
  chat.send("one");
  await eventually(() => an.chats.get(chat.id)?.lastMessage?.content === "one");
  const theirs = chatOf(an, chat.id);
  network.isDown = true;
  network.cut();
  await eventually(() => first.connection === "offline");
  chat.send("two");
  chat.send("three");
  chat.setDraft("fo");
  theirs.send("while you were away");
  await eventually(() => !theirs.pending.length);
  first.stop();
  await pause(50);

  const second = keep(new ChatClient({url: network.url, session: "tokens", ...device, ...hasty(2)}));
  assert.equal(await second.restore(), true);
  assert.deepEqual([second.state, nameOf(second), second.chatsLoaded], ["signed-in", nameOf(first), true]);
  const again = chatOf(second, chat.id);
  assert.deepEqual([again.title, again.draft, again.lastMessage?.content], ["An", "fo", "one"]);
  assert.equal(messageOf(again, 1).content, "one");
  assert.deepEqual(again.pending.map((one) => [one.content, one.state]), [["two", "queued"], ["three", "queued"]]);
  second.start();
  await pause(50);
  network.isDown = false;
  await eventually(() => theirs.lastSeq === 4, "what was written is sent");
  await eventually(() => again.lastSeq === 4 && !again.pending.length);
  assert.deepEqual(await textsOf(theirs), ["one", "while you were away", "two", "three"]);
  assert.deepEqual(await textsOf(again), await textsOf(theirs));
  assert.equal(again.unread, 0);
});

test("More than a resume can bring is read afresh", {timeout: 60_000}, async () => {
  const {people: [, an, binh], chats: [mine, ofAn]} = await aGroup("Far");
  mine.send("first");
  await eventually(() => ofAn.lastSeq === 1);
  await ofAn.ensure(1, 1);
  an.stop();
  await mine.edit(messageOf(mine, 1), "first, edited");
  await postMany(binh, mine.id, 1_002);
  an.start();
  await live(an);
  await eventually(() => ofAn.lastSeq === 1_003, "the chat is read afresh");
  assert.equal(ofAn.unread, 1_003);
  assert.equal(ofAn.message(1), undefined);
  await ofAn.ensure(1, 50);
  assert.equal(messageOf(ofAn, 1).content, "first, edited");
  assert.equal((await textsOf(ofAn)).length, 1_003);
});

test("Another epoch voids everything that is held", {timeout: 60_000}, async () => {
  const {people, chats: [mine, ofAn]} = await aGroup("Epoch");
  mine.send("one");
  mine.send("two");
  await eventually(() => ofAn.lastSeq === 2);
  await ofAn.ensure(1, 2);
  // What a restored backup looks like: other contents at versions that were known, and a new epoch.
  await server.stop();
  await server.run(["-c", `import sqlite3
store = sqlite3.connect(${JSON.stringify(server.path("metadata.db"))})
store.execute("UPDATE chats SET name = 'Restored' WHERE id = ${mine.id}")
store.execute("UPDATE deployment SET value = CAST('restored' AS BLOB) WHERE name = CAST('epoch' AS BLOB)")
store.commit()`]);
  await server.start();
  await eventually(() => ofAn.title === "Restored" && mine.title === "Restored", "all is read afresh", 20_000);
  mine.send("three");
  await eventually(() => ofAn.lastSeq === 3);
  assert.deepEqual(await textsOf(ofAn), ["one", "two", "three"]);
  for (const person of people) await assertInStep(server.url, person);
});

test("Chats that come and go during an absence", {timeout: 60_000}, async () => {
  const {people: [, an, binh], chats: [mine]} = await aGroup("Leaving");
  an.stop();
  await mine.removeParticipant(idOf(an));
  const later = await binh.createGroup("Joining", [idOf(an)]);
  later.send("welcome");
  const direct = await binh.openDirect(idOf(an));
  direct.send("are you there?");
  await eventually(() => !later.pending.length && !direct.pending.length);
  an.start();
  await eventually(() => !an.chats.has(mine.id) && an.chats.get(later.id)?.lastMessage?.content === "welcome");
  await eventually(() => an.chats.get(direct.id)?.unread === 1);
  assert.equal(chatOf(an, direct.id).title, "Binh");
  assert.equal(an.totalUnread, 2);
  await assertInStep(server.url, an);
});

test("A connection on which nothing comes any more is given up", {timeout: 60_000}, async () => {
  let ahead = 0;
  const person = await aPerson(network.url, "Mai", {...hasty(3), now: () => Date.now() + ahead});
  /** @type {string[]} */
  const states = [];
  person.on("connection", () => states.push(person.connection));
  await pause(300); // what is still on its way counts as heard
  network.judge = () => "drop";
  ahead = 60_000; // more than two heartbeats of silence, by its clock
  await eventually(() => states.includes("offline"), "it pings, hears nothing and leaves", 20_000);
  network.judge = () => "pass";
  await eventually(() => person.connection === "online", "it is back", 20_000);
});

test("Two devices of one person hold the same", {timeout: 60_000}, async () => {
  const {people: [mai], chats: [mine, ofAn]} = await aGroup("Devices");
  const phone = await anotherDevice(network.url, mai, hasty(4));
  const onPhone = chatOf(phone, mine.id);
  ofAn.send("hello");
  await eventually(() => onPhone.unread === 1 && mine.unread === 1);
  onPhone.markRead();
  await eventually(() => mine.unread === 0, "reading on one device is reading");
  onPhone.send("from the phone");
  await eventually(() => mine.lastMessage?.content === "from the phone");
  assert.equal(mine.unread, 0);
});
