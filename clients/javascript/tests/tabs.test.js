/** Several tabs of one browser: one identity, one outbox, no quarrel. */

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {ChatClient} from "../src/index.js";
import {Network} from "./network.js";
import {PASSWORD, aBrowser, aName, aPerson, aTab, chatOf, eventually, idOf, live, nameOf, pause, stopAll, textsOf} from "./people.js";
import {Server} from "./server.js";
import {SECRET, shortening} from "./tokens.js";

/** @type {Server} */
let server;
/** @type {Network} */
let network;
/** @type {ChatClient} */
let an;

before(async () => {
  server = await Server.start({CHAT_SECRET_KEY: SECRET});
  network = await Network.start(server.port);
  an = await aPerson(server.url, "An");
});
after(async () => {
  stopAll();
  await network.stop();
  await server.remove();
});

/** Two tabs of somebody who has signed in in the first. @param {import("../src/types.js").Options} [options] */
async function twoTabs(options = {}) {
  const browser = aBrowser();
  const first = aTab(network.url, browser, options);
  const username = aName("mai");
  await first.register({username, email: `${username}@example.org`, password: PASSWORD});
  const second = aTab(network.url, browser, options);
  assert.equal(await second.restore(), true);
  for (const tab of [first, second]) tab.start();
  await live(first);
  await live(second);
  return {browser, first, second, username};
}

test("Signing in in one tab signs in the others, and so does signing out", async () => {
  const browser = aBrowser();
  const [first, second] = [aTab(network.url, browser), aTab(network.url, browser)];
  await first.restore();
  await second.restore();
  second.start();
  const username = aName("mai");
  await first.register({username, email: `${username}@example.org`, password: PASSWORD});
  await eventually(() => second.state === "signed-in");
  assert.equal(nameOf(second), username);
  await live(second);
  await first.updateProfile({full_name: "Mai Lê"});
  await eventually(() => second.me?.full_name === "Mai Lê");
  /** @type {string[]} */
  const reasons = [];
  second.on("signed-out", ({reason}) => reasons.push(reason));
  await first.signOut();
  await eventually(() => second.state === "signed-out");
  assert.deepEqual(reasons, ["signed_out"]);
  assert.equal(second.chats.size, 0);
});

test("Another person in one tab is another person in all of them", async () => {
  const {browser, first, second} = await twoTabs();
  const chat = await first.openDirect(idOf(an));
  await eventually(() => second.chats.has(chat.id));
  chatOf(second, chat.id).setDraft("a draft of the first person");
  await pause(400);
  await first.signOut();
  await eventually(() => second.state === "signed-out");
  const username = aName("binh");
  await first.register({username, email: `${username}@example.org`, password: PASSWORD});
  await eventually(() => second.me?.username === username);
  await live(second);
  assert.equal(second.chats.size, 0);
  assert(!JSON.stringify(await browser.storage.list("")).includes("first person"));
});

test("A tab that missed the change of person does not act for the new one", async () => {
  const {browser, first, second} = await twoTabs({BroadcastChannel: null});
  const chat = await second.openDirect(idOf(an));
  await first.signOut();
  await eventually(() => second.state === "signed-out", "its session is over");
  const username = aName("binh");
  await first.register({username, email: `${username}@example.org`, password: PASSWORD});
  chat.send("from the person before");
  await pause(300);
  assert.equal(first.chats.size, 0);
  // The cookie is the other person's now, and so is what it restores.
  const third = aTab(network.url, browser);
  assert.equal(await third.restore(), true);
  assert.equal(nameOf(third), username);
});

test("The token is renewed by one tab for all, and a crowd of tabs does not end the session", async () => {
  let renewals = 0;
  const browser = {...aBrowser(), random: Math.random};
  const fetch = shortening(browser.jar.fetch, () => (renewals++, {seconds: 5, said: 4}));
  const first = aTab(network.url, browser, {fetch});
  const username = aName("mai");
  await first.register({username, email: `${username}@example.org`, password: PASSWORD});
  const tabs = [first, ...Array.from({length: 4}, () => aTab(network.url, browser, {fetch}))];
  await Promise.all(tabs.slice(1).map((tab) => tab.restore()));
  for (const tab of tabs) tab.start();
  for (const tab of tabs) await live(tab);
  const before = renewals;
  let drops = 0;
  for (const tab of tabs) tab.on("connection", () => drops++);
  await pause(7_000);
  assert.equal(drops, 0, "every socket lives on");
  assert(renewals - before <= 5, `${renewals - before} renewals for five tabs in two lives of a token`);
  assert(tabs.every((tab) => tab.state === "signed-in"));
  assert.equal((await first.listSessions()).length, 1);
});

test("Without locks the ten seconds of grace keep the session", async () => {
  const browser = aBrowser();
  const alone = {locks: null, BroadcastChannel: null};
  const first = aTab(network.url, browser, alone);
  const username = aName("mai");
  await first.register({username, email: `${username}@example.org`, password: PASSWORD});
  const tabs = Array.from({length: 4}, () => aTab(network.url, browser, alone));
  assert.deepEqual(await Promise.all(tabs.map((tab) => tab.restore())), [true, true, true, true]);
  assert(tabs.every((tab) => nameOf(tab) === username));
});

test("What two tabs write is sent once, in order, by one tab at a time", async () => {
  const {browser, first, second} = await twoTabs();
  const mine = await first.openDirect(idOf(an));
  await eventually(() => second.chats.has(mine.id));
  const mineToo = chatOf(second, mine.id);
  const theirs = await eventually(() => an.chats.get(mine.id));
  /** @type {string[]} */
  const written = [];
  for (let at = 0; at < 40; at++) {
    const chat = at % 2 ? mineToo : mine;
    chat.send(`${at}`);
    written.push(`${at}`);
    if (at % 10 === 5) network.cut();
    await pause(4);
  }
  await eventually(() => !mine.pending.length && !mineToo.pending.length, "all is acknowledged", 20_000);
  await eventually(() => theirs.lastSeq >= 40);
  const texts = await textsOf(theirs);
  assert.equal(texts.length, 40);
  for (const half of [0, 1]) {
    const isOfTab = (/** @type {string} */ text) => Number(text) % 2 === half;
    assert.deepEqual(texts.filter(isOfTab), written.filter(isOfTab), "in the order of each tab");
  }
  assert(browser.locks.held.some((name) => name.includes("outbox")));
  assert.deepEqual(await browser.storage.list("text/"), []);
});

test("What a tab without a connection has written is sent by another tab, and shown all the time", async () => {
  const {first, second, browser} = await twoTabs();
  const mine = await first.openDirect(idOf(an));
  await eventually(() => second.chats.has(mine.id));
  const theirs = await eventually(() => an.chats.get(mine.id));
  first.stop();
  mine.send("from the tab that is stopped");
  await eventually(() => theirs.lastMessage?.content === "from the tab that is stopped");
  await eventually(() => chatOf(second, mine.id).pending.length === 0);
  await pause(200);
  assert.deepEqual(await browser.storage.list("text/"), []);
  assert.equal(mine.pending[0]?.content, "from the tab that is stopped", "nothing else of it is here yet");
  first.start();
  await eventually(() => mine.pending.length === 0);
  assert.deepEqual(await textsOf(mine), ["from the tab that is stopped"]);
  assert.deepEqual(await textsOf(theirs), ["from the tab that is stopped"]);
});

test("What is typed in one tab is the draft of all", async () => {
  const {first, second} = await twoTabs();
  const mine = await first.openDirect(idOf(an));
  await eventually(() => second.chats.has(mine.id));
  let told = 0;
  second.on("chat", ({kinds}) => { if (kinds.has("draft")) told++; });
  for (const text of ["N", "No", "Not yet"]) mine.setDraft(text);
  await eventually(() => chatOf(second, mine.id).draft === "Not yet");
  await eventually(() => told > 0);
  chatOf(second, mine.id).setDraft("");
  await eventually(() => mine.draft === "");
});

test("The oldest of too many tabs comes to rest, and goes on when it is told to", async () => {
  const crowded = await Server.start({CHAT_RATE_LIMITS_ENABLED: "true"});
  const browser = aBrowser();
  const [first, ...others] = Array.from({length: 21}, () => aTab(crowded.url, browser));
  try {
    const username = aName("mai");
    await first.register({username, email: `${username}@example.org`, password: PASSWORD});
    for (const tab of [first, ...others]) {
      await tab.restore();
      tab.start();
      await live(tab);
    }
    await eventually(() => first.connection === "stopped", "the first comes to rest");
    assert.equal(first.retryAt, null);
    await pause(1_000);
    assert.equal(first.connection, "stopped", "by itself it does not push another one out");
    others[0].stop();
    first.start();
    await live(first);
  } finally {
    for (const tab of [first, ...others]) tab.stop();
    await crowded.remove();
  }
});
