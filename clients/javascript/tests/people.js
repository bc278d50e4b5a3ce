/** Builders and questions of the tests: people with clients, and waiting for what must come true. */

import assert from "node:assert/strict";
import {randomBytes} from "node:crypto";
import {ChatClient, MemoryStorage} from "../src/index.js";
import {CookieJar, Locks} from "./platform.js";

export const PASSWORD = "correct horse";
/** @type {Set<ChatClient>} */
const clients = new Set();

/** Every client of a test; one that goes on after a failure would keep the process alive. @param {ChatClient} client */
export function keep(client) {
  clients.add(client);
  return client;
}

export function stopAll() {
  for (const client of clients) client.stop();
  clients.clear();
}

/** @param {string} name @returns {string} a username that no test has used */
export function aName(name) {
  return `${name}-${randomBytes(4).toString("hex")}`;
}

/**
 * A client of somebody who has just registered, started and in step.
 * @param {string} url @param {string} name @param {import("../src/types.js").Options} [options]
 */
export async function aPerson(url, name, options = {}) {
  const client = keep(new ChatClient({url, session: "tokens", ...options}));
  const username = aName(name);
  await client.register({username, email: `${username}@example.org`, password: PASSWORD, full_name: name});
  client.start();
  await live(client);
  return client;
}

/** Another device of the same person. @param {string} url @param {ChatClient} person @param {import("../src/types.js").Options} [options] */
export async function anotherDevice(url, person, options = {}) {
  const client = keep(new ChatClient({url, session: "tokens", ...options}));
  await client.signIn(nameOf(person), PASSWORD);
  client.start();
  await live(client);
  return client;
}

/** What the tabs of one browser share; Node's own `BroadcastChannel` is their channel. */
export function aBrowser() {
  return {jar: new CookieJar(), storage: new MemoryStorage(), locks: new Locks(), name: aName("browser")};
}

/** @param {string} url @param {ReturnType<typeof aBrowser>} browser @param {import("../src/types.js").Options} [options] */
export function aTab(url, {jar, ...browser}, options = {}) {
  return keep(new ChatClient({url, session: "cookie", fetch: jar.fetch, random: () => 0.05, ...browser, ...options}));
}

/** @param {ChatClient} client */
export function nameOf(client) {
  assert(client.me);
  return client.me.username;
}

/** @param {ChatClient} client @returns {number} */
export function idOf(client) {
  assert(client.me);
  return client.me.id;
}

/** @param {ChatClient} client */
export async function live(client) {
  await eventually(() => client.connection === "online" && client.chatsLoaded, "connected");
}

/** Waits until it is true. @template T @param {() => T} question @param {string} [what] @param {number} [withinMs] @returns {Promise<NonNullable<T>>} */
export async function eventually(question, what = String(question), withinMs = 20_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const answer = question();
    if (answer) return answer;
    if (Date.now() > end) assert.fail(`It did not come true: ${what}`);
    await pause(10);
  }
}

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @param {ChatClient} client @param {number} id */
export function chatOf(client, id) {
  const chat = client.chats.get(id);
  assert(chat, `chat ${id} is held`);
  return chat;
}

/** @param {import("../src/index.js").Chat} chat @param {number} seq */
export function messageOf(chat, seq) {
  const message = chat.message(seq);
  assert(message, `message ${seq} is loaded`);
  return message;
}

/** @param {import("../src/index.js").Chat} chat @returns {Promise<string[]>} the texts that are shown, in order */
export async function textsOf(chat) {
  const texts = [];
  for (let from = 1; from <= chat.lastSeq; from += 500) {
    await chat.ensure(from, from + 499);
    for (let seq = from; seq <= Math.min(chat.lastSeq, from + 499); seq++) {
      const message = chat.message(seq);
      if (message) texts.push(message.content);
      else assert(chat.isHidden(seq), `message ${seq} is loaded`);
    }
  }
  return texts;
}

/** Rejects with this code. @param {Promise<unknown>} promise @param {string} code */
export async function refused(promise, code) {
  const error = await promise.then(() => assert.fail(`${code} was expected`), (/** @type {any} */ caught) => caught);
  assert.equal(error.code, code, String(error.stack));
  return error;
}

/** What somebody sees: everything that a fresh client must show too. @param {ChatClient} client */
async function viewOf(client) {
  const chats = [];
  for (const chat of client.sortedChats()) {
    const people = chat.participants ?? (await chat.loadParticipants());
    const messages = [];
    for (let seq = 1; seq <= chat.lastSeq; seq++) {
      await chat.ensure(seq, seq + 99);
      messages.push(chat.message(seq) ?? (chat.isHidden(seq) ? "hidden" : "missing"));
    }
    chats.push({
      id: chat.id,
      title: chat.title,
      version: chat.version,
      unread: chat.unread,
      role: chat.myRole,
      count: chat.participantCount,
      last: chat.lastMessage,
      people: [...people].sort((a, b) => a.user_id - b.user_id),
      messages,
    });
  }
  return chats;
}

/** What a client holds is what a new device of the same person reads. @param {string} url @param {ChatClient} client */
export async function assertInStep(url, client) {
  const fresh = await anotherDevice(url, client);
  try {
    let [held, wanted] = [await viewOf(client), await viewOf(fresh)];
    // Positions come at most once a second.
    for (let tries = 0; tries < 50 && JSON.stringify(held) !== JSON.stringify(wanted); tries++) {
      await pause(100);
      for (const chat of fresh.chats.values()) await chat.loadParticipants();
      [held, wanted] = [await viewOf(client), await viewOf(fresh)];
    }
    assert.deepEqual(held, wanted);
  } finally {
    fresh.stop();
  }
}

/** Numbers that look random and are the same at every run (mulberry32). @param {number} seed */
export function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
