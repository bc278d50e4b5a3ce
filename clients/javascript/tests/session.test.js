/** Sessions: staying signed in, tokens that end, sessions that are ended, another person on the same device. */

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {ChatClient, MemoryStorage} from "../src/index.js";
import {Network} from "./network.js";
import {PASSWORD, aBrowser, aName, aPerson, aTab, anotherDevice, chatOf, eventually, idOf, keep, live, nameOf, pause, refused, stopAll} from "./people.js";
import {tokenStore} from "./platform.js";
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

/** @param {ChatClient} tab @param {string} name */
async function register(tab, name) {
  const username = aName(name);
  await tab.register({username, email: `${username}@example.org`, password: PASSWORD});
  tab.start();
  await live(tab);
  return username;
}

/** @param {MemoryStorage} storage */
async function keysOf(storage) {
  return (await storage.list("")).map(([key]) => key);
}

test("In cookie mode no token is anywhere that a script could read, and a reload stays signed in", async () => {
  const browser = aBrowser();
  const tab = aTab(network.url, browser);
  assert.equal(await tab.restore(), false);
  const username = await register(tab, "mai");
  assert.equal(browser.jar.size, 1);
  const chat = await tab.openDirect(idOf(an));
  chat.send("by cookie");
  await eventually(() => an.chats.get(chat.id)?.lastMessage?.content === "by cookie");
  assert(!JSON.stringify(await browser.storage.list("")).includes("eyJ"), "no token is stored");
  tab.stop();

  const again = aTab(network.url, browser);
  assert.equal(await again.restore(), true);
  assert.equal(nameOf(again), username);
  again.start();
  await live(again);
  await eventually(() => chatOf(again, chat.id).lastMessage?.content === "by cookie");
});

test("An account whose answers were lost can be used all the same", async () => {
  const username = aName("mai");
  const fields = {username, email: `${username}@example.org`, password: PASSWORD};
  let lost = "/users/register";
  /** @type {typeof globalThis.fetch} */
  const fetch = async (input, init) => {
    const response = await globalThis.fetch(input, init);
    if (!lost || !String(input).endsWith(lost)) return response;
    lost = "";
    throw new TypeError("The answer is lost.");
  };
  const client = keep(new ChatClient({url: network.url, session: "tokens", fetch}));
  await refused(client.register(fields), "network");
  assert.equal((await client.register(fields)).username, username);

  const other = {...fields, username: aName("mai"), email: `${aName("mai")}@example.org`};
  const second = keep(new ChatClient({url: network.url, session: "tokens", fetch}));
  lost = "/users/login";
  await refused(second.register(other), "network");
  assert.equal((await second.register(other)).username, other.username);

  const third = keep(new ChatClient({url: network.url, session: "tokens", fetch}));
  lost = "/users/register";
  await refused(third.register({...fields, password: "another password"}), "network");
  await refused(third.register({...fields, password: "another password"}), "username_taken");
});

test("Signing out removes everything of the user from the device", async () => {
  const browser = aBrowser();
  const tab = aTab(network.url, browser);
  await register(tab, "mai");
  const chat = await tab.openDirect(idOf(an));
  chat.setDraft("secret");
  network.isDown = true;
  network.cut();
  await eventually(() => tab.connection === "offline");
  chat.send("never sent");
  await pause(400);
  network.isDown = false;
  /** @type {string[]} */
  const reasons = [];
  tab.on("signed-out", ({reason}) => reasons.push(reason));
  await tab.signOut();
  assert.deepEqual([tab.state, tab.me, tab.chats.size, tab.connection], ["signed-out", null, 0, "stopped"]);
  assert.deepEqual(reasons, ["signed_out"]);
  chat.setDraft("more");
  await pause(400);
  assert.deepEqual(await keysOf(browser.storage), []);
  assert.equal(browser.jar.size, 0);
  assert.equal(await aTab(network.url, browser).restore(), false);
});

test("Signing out without a network is made good at the next start", async () => {
  const browser = aBrowser();
  const tab = aTab(network.url, browser);
  await register(tab, "mai");
  network.isDown = true;
  network.cut();
  await tab.signOut();
  assert.equal(tab.state, "signed-out");
  const offline = aTab(network.url, browser);
  assert.equal(await offline.restore(), false);
  network.isDown = false;
  const online = aTab(network.url, browser);
  assert.equal(await online.restore(), false, "though the cookie was still there");
  assert.equal(browser.jar.size, 0);
  assert.deepEqual(await keysOf(browser.storage), []);
});

/** Passes on what the jar fetches, after `hold` where it is for this path. @param {ReturnType<typeof aBrowser>} browser
 * @param {string} path @param {(init: RequestInit) => unknown} hold @returns {typeof globalThis.fetch} */
function holding({jar}, path, hold) {
  return async (input, init = {}) => {
    if (String(input).endsWith(path)) await hold(init);
    return jar.fetch(input, init);
  };
}

test("A page that is closed while it signs out makes it good at the next start", async () => {
  const browser = aBrowser();
  /** @type {boolean|undefined} */
  let outlivesPage;
  const fetch = holding(browser, "/auth/logout", ({keepalive}) => {
    outlivesPage = keepalive;
    return new Promise(() => {});
  });
  const tab = aTab(network.url, browser, {fetch});
  await register(tab, "mai");
  void tab.signOut();
  await eventually(() => tab.state === "signed-out" && outlivesPage);
  const next = aTab(network.url, browser);
  assert.equal(await next.restore(), false);
  assert.equal(browser.jar.size, 0);
  assert.deepEqual(await keysOf(browser.storage), []);
});

for (const [how, fails] of /** @type {const} */ ([["succeeds", false], ["fails", true]])) {
  test(`Signing out that ${how} late does not end the session of the next sign-in`, async () => {
    const browser = aBrowser();
    const fetch = holding(browser, "/auth/logout", async () => {
      await pause(400);
      if (fails) throw new TypeError("There is no network.");
    });
    const tab = aTab(network.url, browser, {fetch});
    const username = await register(tab, "mai");
    const leaving = tab.signOut();
    await eventually(() => tab.state === "signed-out");
    await Promise.all([leaving, tab.signIn(username, PASSWORD)]);
    assert.equal(await browser.storage.get("signing-out"), undefined);
    assert.equal(await aTab(network.url, browser).restore(), true);
  });
}

test("A session that ends returns to sign-in, keeps what was written, and sends it later", async () => {
  const browser = aBrowser();
  const tab = aTab(network.url, browser);
  const username = await register(tab, "mai");
  const chat = await tab.openDirect(idOf(an));
  const phone = keep(new ChatClient({url: server.url, session: "tokens"}));
  await phone.signIn(username, PASSWORD);
  const theirs = await eventually(() => an.chats.get(chat.id));

  network.isDown = true;
  network.cut();
  await eventually(() => tab.connection === "offline");
  chat.send("written before");
  chat.setDraft("half a");
  const reason = new Promise((resolve) => tab.on("signed-out", (payload) => resolve(payload.reason)));
  const current = (await phone.listSessions()).find((one) => !one.current);
  await phone.endSession(current?.id ?? "");
  network.isDown = false;
  assert.equal(await reason, "session_revoked");
  assert.equal(tab.state, "signed-out");
  chat.send("written after");
  chat.setDraft("half a sentence");
  await pause(400);
  const keys = await keysOf(browser.storage);
  assert(keys.length === 3 && keys.every((key) => key.startsWith("text/")), `nothing that was shown is kept: ${keys}`);

  // Another person on the same device sees and sends nothing of it.
  const other = aTab(network.url, browser);
  assert.equal(await other.restore(), false);
  await register(other, "binh");
  const others = await other.openDirect(idOf(an));
  assert.deepEqual([others.pending.length, others.draft, other.chats.has(chat.id)], [0, "", false]);
  await pause(200);
  assert.equal(theirs.lastSeq, 0);
  await other.signOut();

  await tab.signIn(username, PASSWORD);
  await live(tab);
  assert.equal(chatOf(tab, chat.id).draft, "half a sentence");
  await eventually(() => theirs.lastSeq === 2);
  await theirs.ensure(1, 2);
  assert.deepEqual([1, 2].map((seq) => theirs.message(seq)?.content), ["written before", "written after"]);
});

test("The token is renewed before it ends, and the connection lives on", async () => {
  const short = {seconds: 4, said: 3};
  let renewals = -1;
  const options = {fetch: shortening(fetch, () => (renewals++, short))};
  const person = await aPerson(network.url, "Mai", options);
  let drops = 0;
  person.on("connection", () => drops++);
  await eventually(() => renewals >= 2, "it is renewed twice", 15_000);
  await pause(1_000);
  assert.equal(drops, 0);
  assert.equal((await person.listSessions()).length, 1, "requests go by the new one");
  assert.equal(person.state, "signed-in");
});

test("A renewal that is refused is asked for again when the service says", async () => {
  let refusals = 0;
  let isRefused = false;
  const real = shortening(fetch, () => ({seconds: 60, said: 3}));
  /** @type {typeof globalThis.fetch} */
  const busy = async (input, init) => {
    if (!isRefused || !String(input).endsWith("/auth/refresh")) return real(input, init);
    refusals++;
    return new Response('{"code": "unavailable"}', {status: 503, headers: {"retry-after": "60"}});
  };
  const person = await aPerson(network.url, "Mai", {fetch: busy});
  isRefused = true;
  await eventually(() => refusals === 1);
  await pause(6_000);
  assert.deepEqual([refusals, person.connection], [1, "online"]);
});

test("A renewal whose answer was lost does not end the session", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const first = await aPerson(network.url, "Mai", device);
  first.stop();
  let lost = 0;
  /** @type {typeof globalThis.fetch} */
  const losing = async (input, init) => {
    const answer = await fetch(input, init);
    if (!String(input).endsWith("/auth/refresh") || lost++) return answer;
    // It never comes, and nobody says so.
    return new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
  };
  const again = keep(new ChatClient({url: network.url, session: "tokens", ...device, fetch: losing}));
  assert.equal(await again.restore(), true);
  again.start();
  await live(again);
  assert.deepEqual([lost, again.state], [2, "signed-in"]);
});

test("Who signs out while a token is being written has none afterwards", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const short = {seconds: 60, said: 3};
  const person = await aPerson(network.url, "Mai", {...device, fetch: shortening(fetch, () => short)});
  const {save} = device.tokenStore;
  let written = 0;
  device.tokenStore.save = async function (token) {
    if (token === null) return save.call(this, token);
    written++;
    await pause(400);
    await save.call(this, token);
    written++;
  };
  await eventually(() => written === 1, "it is renewed");
  await person.signOut();
  await eventually(() => written === 2 && device.tokenStore.token === null);
  await pause(200);
  assert.equal(person.state, "signed-out");
});

test("Signing out everywhere is a sign-out also where its own end is heard first", async () => {
  const browser = aBrowser();
  /** @type {string[]} */
  const reasons = [];
  const late = async (/** @type {any} */ input, /** @type {any} */ init) => {
    const answer = await browser.jar.fetch(input, init);
    if (String(input).endsWith("/auth/logout-all")) await eventually(() => tab.state === "signed-out");
    return answer;
  };
  const tab = aTab(network.url, browser, {fetch: late});
  await register(tab, "mai");
  tab.on("signed-out", ({reason}) => reasons.push(reason));
  const chat = await tab.openDirect(idOf(an));
  chat.setDraft("for nobody else");
  await tab.signOutEverywhere();
  assert.deepEqual(reasons, ["signed_out"]);
  assert.deepEqual(await keysOf(browser.storage), []);
});

test("A token that ends sooner than the client thinks is renewed when it is refused", async () => {
  // A clock that is wrong: the client believes in its token for a quarter of an hour.
  let choice = /** @type {{seconds: number, said: number}|null} */ ({seconds: -1, said: 900});
  const options = {
    fetch: shortening(fetch, () => {
      const now = choice;
      choice = null;
      return now;
    }),
    random: () => 0.05,
  };
  const person = await aPerson(network.url, "Mai", options);
  assert.equal(person.connection, "online", "the socket was refused with 4001, and came again");
  choice = {seconds: 2, said: 900};
  const phone = await anotherDevice(network.url, person, options);
  /** @type {string[]} */
  const states = [];
  phone.on("connection", () => states.push(phone.connection));
  await eventually(() => states.includes("offline") && phone.connection === "online", "4001, and back", 15_000);
  await phone.updateProfile({bio: "still here"});
  assert.equal(phone.state, "signed-in");
});

test("A disabled account is signed out with its reason", async () => {
  const person = await aPerson(network.url, "Mai");
  const reason = new Promise((resolve) => person.on("signed-out", (payload) => resolve(payload.reason)));
  await server.run(["-m", "chat_service", "set-user", nameOf(person), "--state", "deactivated"]);
  assert.equal(await reason, "account_disabled");
  await refused(new ChatClient({url: server.url, session: "tokens"}).signIn("nobody", PASSWORD), "invalid_credentials");
});

test("A page that starts without a network, and whose session has ended meanwhile, finds out", async () => {
  const browser = aBrowser();
  const tab = aTab(network.url, browser);
  const username = await register(tab, "mai");
  tab.stop();
  await pause(100);
  const phone = keep(new ChatClient({url: server.url, session: "tokens"}));
  await phone.signIn(username, PASSWORD);
  await phone.signOutEverywhere();
  network.isDown = true;
  network.cut();
  const again = aTab(network.url, browser);
  assert.equal(await again.restore(), true, "offline it shows what it has");
  again.start();
  network.isDown = false;
  await eventually(() => again.state === "signed-out");
  assert.deepEqual(await keysOf(browser.storage), []);
});

test("A slow network does not keep a page empty", async () => {
  const browser = aBrowser();
  const tab = aTab(network.url, browser);
  await register(tab, "mai");
  tab.stop();
  await pause(100);
  network.delayMs = 1_500;
  const again = aTab(network.url, browser);
  const before = Date.now();
  assert.equal(await again.restore(), true);
  assert(Date.now() - before < 1_400);
  network.delayMs = 0;
  again.start();
  await live(again);
});

for (const [what, shown] of /** @type {const} */ ([["nothing was shown", "shown/"], ["a sign-out was cut short", "signing-out"]])) {
  test(`A network that does not answer does not keep a page waiting where ${what}`, async () => {
    const browser = aBrowser();
    const tab = aTab(network.url, browser);
    const username = await register(tab, "mai");
    tab.stop();
    await pause(100);
    if (shown === "signing-out") await browser.storage.set(shown, true);
    else await browser.storage.clear(shown);
    const again = aTab(network.url, browser, {fetch: holding(browser, "", () => pause(2_000))});
    const before = Date.now();
    assert.equal(await again.restore(), false);
    assert(Date.now() - before < 1_900);
    assert.equal(again.state, "signed-out");
    if (shown === "signing-out") await eventually(() => browser.jar.size === 0);
    else await eventually(() => again.state === "signed-in" && nameOf(again) === username);
  });
}

test("Refresh tokens of an application's own store are good for one use, and outlive a reload", async () => {
  const device = {storage: new MemoryStorage(), tokenStore: tokenStore(), BroadcastChannel: null};
  const first = await aPerson(network.url, "Mai", device);
  const token = device.tokenStore.token;
  first.stop();
  const second = keep(new ChatClient({url: network.url, session: "tokens", ...device}));
  assert.equal(await second.restore(), true);
  assert.notEqual(device.tokenStore.token, token);
  await second.signOut();
  assert.equal(device.tokenStore.token, null);
});
