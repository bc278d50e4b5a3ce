/** The storages keep the same promise, and IndexedDB outlives its connection. */

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import {test} from "node:test";
import {IndexedDbStorage, MemoryStorage} from "../src/index.js";
import {SafeStorage} from "../src/storage.js";

for (const [name, make] of /** @type {const} */ ([
  ["memory", () => new MemoryStorage()],
  ["IndexedDB", () => new IndexedDbStorage(`test-${Math.random()}`)],
])) {
  test(`${name}: values by key, in order, by prefix`, async () => {
    const storage = make();
    assert.equal(await storage.get("a/1"), undefined);
    await Promise.all([storage.set("a/2", {two: [2]}), storage.set("b/1", "b"), storage.set("a/1", 1)]);
    await storage.set("a/1", "one");
    assert.deepEqual(await storage.get("a/2"), {two: [2]});
    assert.deepEqual(await storage.list("a/"), [["a/1", "one"], ["a/2", {two: [2]}]]);
    await storage.delete("a/2");
    assert.deepEqual(await storage.list(""), [["a/1", "one"], ["b/1", "b"]]);
    await storage.clear("a/");
    assert.deepEqual(await storage.list(""), [["b/1", "b"]]);
  });
}

test("IndexedDB: another version or a closed database is survived", async () => {
  const name = `test-${Math.random()}`;
  const storage = new IndexedDbStorage(name);
  await storage.set("a", 1);
  await new Promise((resolve) => {
    indexedDB.deleteDatabase(name).onsuccess = resolve;
  });
  assert.equal(await storage.get("a"), undefined);
  await storage.set("a", 2);
  assert.equal(await new IndexedDbStorage(name).get("a"), 2);
});

test("IndexedDB: an open that fails is tried again", async (t) => {
  const storage = new IndexedDbStorage(`test-${Math.random()}`);
  const open = t.mock.method(indexedDB, "open", () => { throw new DOMException("not now", "UnknownError"); });
  await assert.rejects(storage.set("a", 1));
  open.mock.restore();
  await storage.set("a", 1);
  assert.equal(await storage.get("a"), 1);
});

test("IndexedDB: a database that the browser closes without a word is opened again", async (t) => {
  const storage = new IndexedDbStorage(`test-${Math.random()}`);
  await storage.set("a", 1);
  const once = t.mock.method(IDBDatabase.prototype, "transaction", () => {
    once.mock.restore();
    throw new DOMException("The database is closing.", "InvalidStateError");
  });
  assert.equal(await storage.get("a"), 1);
});

/** A storage that does its work only while `mode` says so. */
function anUnreliableStorage() {
  const memory = new MemoryStorage();
  const state = {mode: /** @type {"works"|"fails"|"hangs"} */ ("works")};
  const storage = new Proxy(memory, {
    get: (_, /** @type {"get"|"set"|"delete"|"list"|"clear"} */ name) => async (/** @type {[any, any]} */ ...values) => {
      if (state.mode === "hangs") await new Promise(() => {});
      if (state.mode === "fails") throw new Error("no storage");
      return memory[name](...values);
    },
  });
  return {memory, state, storage};
}

for (const mode of /** @type {const} */ (["fails", "hangs"])) {
  test(`A storage that ${mode} for a while is given what it has missed`, async (t) => {
    t.mock.timers.enable({apis: ["setTimeout"]});
    /** @template T @param {Promise<T>} asked @returns {Promise<T>} */
    const late = async (asked) => {
      await new Promise((resolve) => setImmediate(resolve));
      t.mock.timers.tick(10_000);
      return asked;
    };
    const {memory, state, storage} = anUnreliableStorage();
    const safe = new SafeStorage(storage);
    await safe.set("a/1", "before");
    await safe.set("b/1", "before");
    await safe.set("c/1", "before");
    state.mode = mode;
    await late(safe.set("a/2", "meanwhile"));
    await late(safe.delete("b/1"));
    await late(safe.clear("c/"));
    assert.equal(safe.hasFailed, true);
    assert.equal(await late(safe.get("a/2")), "meanwhile");
    assert.deepEqual(await late(safe.list("")), [["a/2", "meanwhile"]]);
    state.mode = "works";
    assert.deepEqual(await safe.list(""), [["a/1", "before"], ["a/2", "meanwhile"]]);
    assert.equal(safe.hasFailed, false);
    assert.deepEqual(await memory.list(""), [["a/1", "before"], ["a/2", "meanwhile"]]);
  });
}
