/** Where the outbox, the drafts and the last shown state are kept. No failure of it reaches the user. */

/** @import {Storage} from "./types.js" */

/** How long a storage may take at first, when a browser may have to repair it before it opens it. */
const FIRST_PATIENCE_MS = 10_000;
const PATIENCE_MS = 3_000;
/** As long as it does not answer, nothing that is shown waits for it. */
const SHORT_PATIENCE_MS = 250;

/** Errors of a database that was closed under one's hands. */
const CLOSED = new Set(["InvalidStateError", "AbortError"]);

/** Values must not be changed after they were given. */
export class MemoryStorage {
  /** @type {Map<string, any>} */
  #values = new Map();

  /** @param {string} key @returns {Promise<any>} */
  async get(key) {
    return this.#values.get(key);
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    this.#values.set(key, value);
  }

  /** @param {string} key */
  async delete(key) {
    this.#values.delete(key);
  }

  /** @param {string} prefix @returns {Promise<Array<[string, any]>>} */
  async list(prefix) {
    return [...this.#values].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** @param {string} prefix */
  async clear(prefix) {
    for (const [key] of await this.list(prefix)) this.#values.delete(key);
  }
}

export class IndexedDbStorage {
  /** @type {Promise<IDBDatabase>|null} */
  #opening = null;
  #name;

  /** @param {string} [name] of the database */
  constructor(name = "chat-service") {
    this.#name = name;
  }

  /** @param {string} key */
  get(key) {
    return this.#run("readonly", (store) => store.get(key));
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    await this.#run("readwrite", (store) => store.put(value, key));
  }

  /** @param {string} key */
  async delete(key) {
    await this.#run("readwrite", (store) => store.delete(key));
  }

  /** @param {string} prefix @returns {Promise<Array<[string, any]>>} */
  async list(prefix) {
    const range = startingWith(prefix);
    /** @type {IDBRequest<IDBValidKey[]>|undefined} */
    let keys;
    const values = await this.#run("readonly", (store) => {
      keys = store.getAllKeys(range);
      return store.getAll(range);
    });
    return values.map((value, index) => [String(keys?.result[index]), value]);
  }

  /** @param {string} prefix */
  async clear(prefix) {
    await this.#run("readwrite", (store) => store.delete(startingWith(prefix)));
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} work
   * @returns {Promise<T>}
   */
  async #run(mode, work) {
    try {
      return await this.#runOnce(mode, work);
    } catch (error) {
      // The browser has closed the database, and told so too late, or not at all.
      if (!CLOSED.has(/** @type {any} */ (error)?.name)) throw error;
      this.#opening = null;
      return this.#runOnce(mode, work);
    }
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} work
   * @returns {Promise<T>}
   */
  async #runOnce(mode, work) {
    const opening = (this.#opening ??= this.#open());
    // One that failed shall not fail all that follow.
    opening.catch(() => { if (this.#opening === opening) this.#opening = null; });
    const database = await opening;
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("values", mode);
      const request = work(transaction.objectStore("values"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  /** @returns {Promise<IDBDatabase>} */
  #open() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore("values");
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const database = request.result;
        const opening = this.#opening;
        database.onclose = database.onversionchange = () => {
          database.close();
          if (this.#opening === opening) this.#opening = null;
        };
        resolve(database);
      };
    });
  }
}

/** @param {string} prefix */
function startingWith(prefix) {
  return IDBKeyRange.bound(prefix, `${prefix}\uffff`);
}

/**
 * Any storage, made safe: what it does not take in time is held in memory, and given to it as soon as it answers
 * again. What cannot be read now is as if there were nothing.
 */
export class SafeStorage {
  /** The last call failed: what is kept may be more than what was read. */
  hasFailed = false;
  /** What the storage has not taken yet; undefined is to be deleted. @type {Map<string, {value: any}>} */
  #unwritten = new Map();
  /** Prefixes that it has not cleared yet. @type {Set<string>} */
  #uncleared = new Set();
  #patienceMs = FIRST_PATIENCE_MS;
  #storage;

  /** @param {Storage} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** @param {string} key @returns {Promise<any>} */
  async get(key) {
    const held = this.#unwritten.get(key);
    return held ? held.value : this.#try(() => this.#storage.get(key));
  }

  /** @param {string} key @param {any} value */
  set(key, value) {
    return this.#put(key, value);
  }

  /** @param {string} key */
  delete(key) {
    return this.#put(key, undefined);
  }

  /** @param {string} prefix @returns {Promise<Array<[string, any]>>} */
  async list(prefix) {
    const found = new Map(await this.#try(() => this.#storage.list(prefix)));
    for (const [key, {value}] of this.#unwritten) {
      if (!key.startsWith(prefix)) continue;
      if (value === undefined) found.delete(key);
      else found.set(key, value);
    }
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** @param {string} prefix */
  async clear(prefix) {
    for (const key of this.#unwritten.keys()) if (key.startsWith(prefix)) this.#unwritten.delete(key);
    this.#uncleared.add(prefix);
    await this.#try(() => this.#clear(prefix));
  }

  /** @param {string} key @param {any} value */
  async #put(key, value) {
    const entry = {value};
    this.#unwritten.set(key, entry);
    await this.#try(() => this.#write(key, entry));
  }

  /** @param {string} key @param {{value: any}} entry */
  async #write(key, entry) {
    // It may have been replaced, or written, meanwhile.
    if (this.#unwritten.get(key) !== entry) return;
    await (entry.value === undefined ? this.#storage.delete(key) : this.#storage.set(key, entry.value));
    if (this.#unwritten.get(key) === entry) this.#unwritten.delete(key);
  }

  /** @param {string} prefix */
  async #clear(prefix) {
    await this.#storage.clear(prefix);
    this.#uncleared.delete(prefix);
  }

  /** Gives the storage what it has not taken. What must go goes first, and before anything is read. */
  async #catchUp() {
    for (const prefix of this.#uncleared) await this.#clear(prefix);
    for (const [key, entry] of [...this.#unwritten]) {
      try {
        await this.#write(key, entry);
      } catch {
        // It may be too large, and the next one not: that one is tried first the next time. Reading goes on.
        if (this.#unwritten.get(key) === entry && this.#unwritten.delete(key)) this.#unwritten.set(key, entry);
        return;
      }
    }
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T|undefined>} undefined where it fails */
  async #try(work) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("storage does not answer")), this.#patienceMs);
    });
    try {
      const asked = this.hasFailed ? this.#catchUp().then(work) : work();
      // Also where the answer comes too late for this call.
      asked.then(() => { this.#patienceMs = PATIENCE_MS; }, () => {});
      const answer = /** @type {T} */ (await Promise.race([asked, late]));
      this.hasFailed = false;
      return answer;
    } catch {
      this.hasFailed = true;
      this.#patienceMs = SHORT_PATIENCE_MS;
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }
}
