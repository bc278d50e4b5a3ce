/** The storages keep the same promise, and IndexedDB outlives its connection. */

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import {test} from "node:test";
import {IndexedDbStorage, MemoryStorage} from "../src/index.js";

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
