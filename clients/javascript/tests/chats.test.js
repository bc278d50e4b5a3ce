/** Ordinary chat between people on a good network. */

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {ChatClient, MemoryStorage} from "../src/index.js";
import {PASSWORD, aName, aPerson, anotherDevice, assertInStep, chatOf, eventually, idOf, keep, live, messageOf, nameOf, pause, refused, stopAll, textsOf} from "./people.js";
import {tokenStore} from "./platform.js";
import {Server} from "./server.js";

/** @type {Server} */
let server;
/** @type {ChatClient} */
let mai;
/** @type {ChatClient} */
let an;
/** @type {ChatClient} */
let binh;

before(async () => {
  server = await Server.start();
  [mai, an, binh] = await Promise.all(["Mai", "An", "Binh"].map((name) => aPerson(server.url, name)));
});
after(async () => {
  stopAll();
  await server.remove();
});

/** A direct chat of Mai and An, or the one there is. */
async function aDirect() {
  const mine = await mai.openDirect(idOf(an));
  await eventually(() => an.chats.has(mine.id), "An has the chat");
  return [mine, chatOf(an, mine.id)];
}

/** @param {string} name */
async function aGroup(name) {
  const mine = await mai.createGroup(name, [idOf(an), idOf(binh)]);
  await eventually(() => an.chats.has(mine.id) && binh.chats.has(mine.id), "all have the group");
  return [mine, chatOf(an, mine.id), chatOf(binh, mine.id)];
}

/** @param {import("../src/index.js").Chat} chat @param {string} text */
async function sent(chat, text) {
  const {client_message_id} = chat.send(text);
  await eventually(() => !chat.pending.length, `${text} is acknowledged`);
  assert.equal(chat.lastMessage?.client_message_id, client_message_id);
  return messageOf(chat, chat.lastSeq);
}

test("A message is shown at once, and arrives", async () => {
  const [mine, theirs] = await aDirect();
  /** @type {string[]} */
  const heard = [];
  const forget = an.on("message", ({chat, message}) => heard.push(`${chat.title}: ${message.content}`));
  const before = theirs.unread;
  const shown = mine.send("Xin chào!");
  assert.equal(shown.state, "queued");
  assert.deepEqual(mine.pending, [shown]);
  assert.equal(mine.status(shown), "queued");
  await eventually(() => theirs.lastMessage?.content === "Xin chào!");
  assert.deepEqual(heard, ["Mai: Xin chào!"]);
  assert.equal(theirs.unread, before + 1);
  assert.equal(an.totalUnread, before + 1);
  await eventually(() => mine.pending.length === 0);
  assert.equal(messageOf(mine, mine.lastSeq).client_message_id, shown.client_message_id);
  assert.equal(mine.unread, 0);
  forget();
});

test("Status goes from sent to delivered to read", async () => {
  const [mine, theirs] = await aDirect();
  await mine.loadParticipants();
  const message = await sent(mine, "Did you get it?");
  await eventually(() => mine.status(message) === "delivered");
  theirs.markRead();
  assert.equal(theirs.unread, 0);
  assert.equal(an.totalUnread, 0);
  await eventually(() => mine.status(message) === "read");
  assert.deepEqual(mine.readers(message).map((one) => one.user_id), [idOf(an)]);
});

test("In a group all others must have read it", async () => {
  const [mine, ofAn, ofBinh] = await aGroup("Readers");
  const message = await sent(mine, "Everybody?");
  assert.equal(mine.status(message), "sent", "whose positions are not known has not read it");
  await mine.loadParticipants();
  await eventually(() => mine.status(message) === "delivered");
  ofAn.markRead();
  await eventually(() => mine.readers(message).length === 1);
  assert.equal(mine.status(message), "delivered");
  ofBinh.markRead();
  await eventually(() => mine.status(message) === "read");
});

test("Edits, their history, replies and deletions reach everybody", async () => {
  const [mine, theirs] = await aDirect();
  const message = await sent(mine, "Helo");
  await mine.edit(message, "Hello");
  assert.equal(messageOf(mine, message.seq).content, "Hello");
  await eventually(() => theirs.message(message.seq)?.content === "Hello");
  const texts = (await theirs.revisions(messageOf(theirs, message.seq))).map((one) => one.content);
  assert.deepEqual(texts, ["Helo", "Hello"]);

  const reply = theirs.send("Hello yourself", {replyTo: messageOf(theirs, message.seq)});
  assert.equal(reply.reply_to?.seq, message.seq);
  await eventually(() => mine.lastMessage?.reply_to?.id === message.id);

  await refused(theirs.edit(messageOf(theirs, message.seq), "Hi"), "forbidden");
  await mine.delete(message, "everyone");
  await eventually(() => theirs.message(message.seq)?.is_deleted);
  assert.equal(messageOf(theirs, message.seq).content, "");
});

test("A message that is hidden disappears from one's own devices alone", async () => {
  const [mine, theirs] = await aDirect();
  const phone = await anotherDevice(server.url, mai);
  const first = await sent(mine, "stays");
  const second = await sent(mine, "goes");
  await chatOf(phone, mine.id).ensure(first.seq, second.seq);
  await mine.delete(second, "me");
  assert(mine.isHidden(second.seq));
  assert.equal(mine.message(second.seq), undefined);
  assert.equal(mine.lastMessage?.seq, first.seq);
  await eventually(() => chatOf(phone, mine.id).isHidden(second.seq));
  await eventually(() => chatOf(phone, mine.id).lastMessage?.seq === first.seq);
  await eventually(() => theirs.message(second.seq)?.content === "goes");

  const later = await anotherDevice(server.url, mai);
  const chat = chatOf(later, mine.id);
  assert.equal(chat.lastMessage?.seq, first.seq);
  await chat.ensure(first.seq, chat.lastSeq);
  assert(chat.isHidden(second.seq));
  assert(!chat.isHidden(first.seq));
  phone.stop();
  later.stop();
});

test("What was hidden does not come back by a change that everybody is told", async () => {
  const [mine, ofAn] = await aGroup("Hidden for good");
  await sent(mine, "one");
  const second = await sent(ofAn, "two");
  await sent(mine, "three");
  await mine.delete(messageOf(mine, 2), "me");
  const phone = await anotherDevice(server.url, mai);
  const chat = chatOf(phone, mine.id);
  assert.equal(chat.lastMessage?.content, "three");
  await ofAn.edit(second, "two, changed");
  await sent(ofAn, "four");
  await eventually(() => chat.lastMessage?.content === "four");
  assert.equal(chat.message(2), undefined);
  assert.deepEqual(await textsOf(chat), ["one", "three", "four"]);
  phone.stop();
});

test("The last message is found again where hiding it leaves nothing loaded", async () => {
  const [mine] = await aGroup("Hidden");
  for (const text of ["one", "two", "three"]) await sent(mine, text);
  const phone = await anotherDevice(server.url, mai);
  const chat = chatOf(phone, mine.id);
  assert.equal(chat.lastMessage?.content, "three");
  await mine.delete(messageOf(mine, 3), "me");
  await eventually(() => chat.lastMessage?.content === "two");
  phone.stop();
});

test("A group: names, people, roles, hand-over, leaving", async () => {
  const [mine, ofAn, ofBinh] = await aGroup("Hà Nội");
  assert.deepEqual([mine.myRole, ofAn.myRole, ofAn.title, ofAn.participantCount], ["owner", "member", "Hà Nội", 3]);
  await ofAn.loadParticipants();
  await mine.rename("Sài Gòn");
  await eventually(() => ofAn.title === "Sài Gòn" && ofBinh.title === "Sài Gòn");
  await refused(ofAn.rename("Huế"), "forbidden");

  await mine.setRole(idOf(an), "admin");
  await eventually(() => ofAn.myRole === "admin");
  await ofAn.removeParticipant(idOf(binh));
  await eventually(() => !binh.chats.has(mine.id), "Binh sees the removal live");
  await eventually(() => mine.participantCount === 2);
  assert.deepEqual(ofAn.participants?.map((one) => one.user_id).sort(), [idOf(mai), idOf(an)].sort());

  await mine.addParticipants([idOf(binh)]);
  await eventually(() => binh.chats.has(mine.id), "Binh is back");
  await eventually(() => ofAn.participantCount === 3);

  await refused(mine.leave(), "conflict");
  await mine.setRole(idOf(an), "owner");
  await eventually(() => ofAn.myRole === "owner" && mine.myRole === "admin");
  await mine.leave();
  assert(!mai.chats.has(mine.id));
  await eventually(() => ofAn.participantCount === 2);
  await assertInStep(server.url, an);
});

test("The answer to an older change does not undo a newer one", async () => {
  const [mine, theirs] = await aGroup("Names");
  await mine.setRole(idOf(an), "admin");
  /** @type {typeof globalThis.fetch} */
  const late = async (input, init) => {
    const response = await fetch(input, init);
    if (init?.method === "PUT") await eventually(() => chatOf(phone, mine.id).name === "Newer");
    return response;
  };
  const phone = await anotherDevice(server.url, mai, {fetch: late});
  const renaming = chatOf(phone, mine.id).rename("Older");
  await eventually(() => theirs.name === "Older" && theirs.myRole === "admin");
  await theirs.rename("Newer");
  await renaming;
  assert.equal(chatOf(phone, mine.id).name, "Newer");
});

test("Typing and presence come and go", async () => {
  const [mine, theirs] = await aDirect();
  mine.setTyping(true);
  await eventually(() => theirs.typing.includes(idOf(mai)));
  mine.setTyping(false);
  await eventually(() => theirs.typing.length === 0);
  mine.setTyping(true);
  await eventually(() => theirs.typing.includes(idOf(mai)));
  await sent(mine, "typed");
  await eventually(() => theirs.typing.length === 0);

  await eventually(() => mai.isOnline(idOf(an)) === true);
  an.stop();
  await eventually(() => mai.isOnline(idOf(an)) === false);
  assert(mai.lastSeen(idOf(an)) instanceof Date);
  an.start();
  await eventually(() => mai.isOnline(idOf(an)) === true);
});

test("Who is online is known again after a reconnect, without being looked for once more", async () => {
  await aDirect();
  await eventually(() => mai.isOnline(idOf(an)) === true);
  /** @type {boolean|undefined} */
  let shown = true;
  const forget = mai.on("presence", () => { shown = mai.isOnline(idOf(an)); });
  mai.stop();
  assert.equal(shown, undefined, "nothing is known without a connection");
  mai.start();
  await eventually(() => shown === true);
  forget();
});

test("Who of a group is online can be asked for", async () => {
  const [group] = await aGroup("Online");
  const away = keep(new ChatClient({url: server.url, session: "tokens"}));
  const username = aName("away");
  await away.register({username, email: `${username}@example.org`, password: PASSWORD});
  await group.addParticipants([idOf(away)]);
  const online = await group.listOnline();
  assert.deepEqual(online.sort((a, b) => a - b), [mai, an, binh].map(idOf).sort((a, b) => a - b));
});

test("Who was looked for is known to be online as soon as there is a chat", async () => {
  const [lan, hoa] = await Promise.all(["Lan", "Hoa"].map((name) => aPerson(server.url, name)));
  await live(lan);
  const [found] = await lan.searchUsers(nameOf(hoa));
  assert.equal(lan.isOnline(found.id), undefined);
  await lan.openDirect(idOf(hoa));
  await eventually(() => lan.isOnline(idOf(hoa)) === true);
});

test("What somebody has changed of themselves is seen when they are asked for afresh, and in the chat", async () => {
  const [mine] = await aDirect();
  const before = mine.peer?.full_name;
  await an.updateProfile({full_name: "An Trần"});
  assert.equal((await mai.getUser(idOf(an))).full_name, before);
  /** @type {string[]} */
  const told = [];
  const forget = mai.on("chat", ({chat, kinds}) => { if (chat === mine && kinds.has("settings")) told.push(chat.title); });
  assert.equal((await mai.getUser(idOf(an), {afresh: true})).full_name, "An Trần");
  await eventually(() => told.includes("An Trần"));
  assert.equal((await mai.getUser(idOf(an))).full_name, "An Trần");
  forget();
});

test("A direct chat that was left comes back with its next message", async () => {
  const [mine, theirs] = await aDirect();
  await sent(mine, "before");
  await mine.leave();
  assert(!mai.chats.has(mine.id));
  mai.stop();
  mai.start();
  await eventually(() => mai.connection === "online");
  await pause(200);
  assert(!mai.chats.has(mine.id), "a reconnect does not bring it back");
  /** @type {string[]} */
  const told = [];
  const forget = mai.on("missed", ({chat, message, count}) => told.push(`${count} in ${chat.id}: ${message.content}`));
  await sent(theirs, "after");
  await eventually(() => mai.chats.get(mine.id)?.lastMessage?.content === "after");
  await eventually(() => told.length > 0, "the message that brings it back is told of");
  assert.deepEqual(told, [`1 in ${mine.id}: after`]);
  forget();
  assert.equal((await textsOf(chatOf(mai, mine.id))).at(-2), "before");
});

/**
 * A `fetch` that keeps the answers to such requests back until some work is done.
 * @param {string} method @param {(path: string) => boolean} isMeant @param {() => Promise<unknown>} work
 * @returns {typeof globalThis.fetch}
 */
function answeringAfter(method, isMeant, work) {
  return async (input, init) => {
    const answer = await fetch(input, init);
    if (init?.method === method && isMeant(new URL(String(input)).pathname)) await work();
    return answer;
  };
}

test("A message that comes while hidden chats are looked for brings its chat into the list", async () => {
  const [mine, theirs] = await aDirect();
  await sent(mine, "before");
  await mine.leave();
  let lists = 0;
  const read = answeringAfter("GET", (path) => path.endsWith("/chats"), async () => {
    // The first time it is the list itself, the second time the chats that it did not name.
    if (++lists === 2) await sent(theirs, "in between");
  });
  const device = await anotherDevice(server.url, mai, {fetch: read});
  await eventually(() => device.chats.get(mine.id)?.lastMessage?.content === "in between");
  assert.equal(chatOf(device, mine.id).unread, 1);
});

test("A message that comes while its chat is hidden stays in view", async () => {
  const [mine, theirs] = await aDirect();
  await sent(mine, "before");
  const hide = answeringAfter("DELETE", (path) => path.endsWith(`/chats/${mine.id}`), async () => {
    await sent(theirs, "meanwhile");
    await eventually(() => device.chats.get(mine.id)?.lastMessage?.content === "meanwhile");
  });
  const device = await anotherDevice(server.url, mai, {fetch: hide});
  await chatOf(device, mine.id).leave();
  await eventually(() => device.chats.get(mine.id)?.lastMessage?.content === "meanwhile");
  await assertInStep(server.url, device);
});

test("A direct chat that was taken out of the list on another device goes at the next start", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const first = await aPerson(server.url, "Dung", device);
  const [gone, written, back] = await Promise.all([mai, an, binh].map((other) => first.openDirect(idOf(other))));
  for (const chat of [gone, written, back]) await sent(chat, "before");
  written.setDraft("half a sentence");
  first.stop();
  await pause(100);
  const phone = await anotherDevice(server.url, first);
  for (const {id} of [gone, written, back]) await chatOf(phone, id).leave();
  await eventually(() => binh.chats.has(back.id));
  await sent(chatOf(binh, back.id), "after");

  const again = keep(new ChatClient({url: server.url, session: "tokens", ...device}));
  await again.restore();
  assert(again.chats.has(gone.id), "it is shown as long as nothing is known");
  again.start();
  await live(again);
  await eventually(() => !again.chats.has(gone.id));
  assert.deepEqual([again.chats.has(written.id), again.chats.has(back.id)], [true, true]);
  await eventually(() => mai.chats.has(gone.id));
  await sent(chatOf(mai, gone.id), "and after");
  await eventually(() => again.chats.get(gone.id)?.lastMessage?.content === "and after");
});

test("The list is sorted by activity, and the same array until that changes", async () => {
  const [first] = await aGroup("First");
  const [second] = await aGroup("Second");
  await sent(first, "up");
  const list = mai.sortedChats();
  assert.deepEqual(list.slice(0, 2).map((one) => one.title), ["First", "Second"]);
  await sent(first, "still up");
  assert.equal(mai.sortedChats(), list);
  second.send("now me");
  assert.equal(mai.sortedChats()[0], second, "also before it is acknowledged");
});

test("A date finds its message", async () => {
  const [mine] = await aGroup("Dates");
  await sent(mine, "one");
  await pause(20);
  const between = new Date();
  await pause(20);
  const two = await sent(mine, "two");
  assert.equal(await mine.seqAt(between), two.seq);
  assert.equal(await mine.seqAt(new Date(0)), 1);
  assert.equal(await mine.seqAt(new Date(Date.now() + 1e6)), two.seq);
});

test("Profile, people, sessions and passwords", async () => {
  const person = await aPerson(server.url, "Chi");
  const other = await anotherDevice(server.url, person);
  await person.updateProfile({full_name: "Chi Phạm", bio: "hello"});
  assert.equal(person.me?.full_name, "Chi Phạm");
  const found = await mai.searchUsers(nameOf(person));
  assert.deepEqual(found.map((one) => one.full_name), ["Chi Phạm"]);
  assert.equal(await mai.getUser(idOf(person)), await mai.getUser(idOf(person)), "asked for once");
  assert.equal((await person.listSessions()).length, 2);
  await refused(person.changePassword("wrong password", "another password"), "invalid_credentials");
  await person.changePassword("correct horse", "another password");
  await eventually(() => other.state === "signed-out", "the other device is signed out");
  assert.equal(person.state, "signed-in");
  await person.signOut();
  assert.equal(person.me, null);
});

test("Refusals are typed", async () => {
  const stranger = new ChatClient({url: server.url, session: "tokens"});
  await refused(stranger.signIn("nobody", "wrong password"), "invalid_credentials");
  await refused(stranger.register({username: nameOf(mai), email: "x@example.org", password: "12345678"}), "username_taken");
  const error = await refused(stranger.register({username: "x", email: "x", password: "1"}), "invalid_request");
  assert.deepEqual([error.status, error.errors.length > 0, typeof error.requestId], [422, true, "string"]);
  await refused(stranger.searchUsers("mai"), "unauthenticated");
  await refused(mai.getUser(999_999), "not_found");
  const nowhere = new ChatClient({url: "http://127.0.0.1:1", session: "tokens"});
  await refused(nowhere.signIn("mai", "x"), "network");
  assert.equal(await nowhere.restore(), false);
});
