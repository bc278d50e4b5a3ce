/** Where the outbox, the drafts and the last shown state are kept. No failure of it reaches the user. */

/** @import {Storage} from "./types.js" */

const PATIENCE_MS = 3_000;

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
    const database = await (this.#opening ??= this.#open());
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
        database.onclose = database.onversionchange = () => {
          database.close();
          this.#opening = null;
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

/** Any storage, made safe: what fails or does not answer within three seconds is given up for memory. */
export class SafeStorage {
  /** True since something failed: what was kept before cannot be read any more. */
  hasFailed = false;
  #storage;
  #first;

  /** @param {Storage} storage */
  constructor(storage) {
    this.#storage = this.#first = storage;
  }

  /** @param {string} key */
  get(key) {
    return this.#try((storage) => storage.get(key));
  }

  /** @param {string} key @param {any} value */
  set(key, value) {
    return this.#try((storage) => storage.set(key, value));
  }

  /** @param {string} key */
  delete(key) {
    return this.#try((storage) => storage.delete(key));
  }

  /** @param {string} prefix */
  list(prefix) {
    return this.#try((storage) => storage.list(prefix));
  }

  /** @param {string} prefix */
  clear(prefix) {
    // What must go shall go also where nothing is read any more.
    if (this.hasFailed) this.#first.clear(prefix).catch(() => {});
    return this.#try((storage) => storage.clear(prefix));
  }

  /** @template T @param {(storage: Storage) => Promise<T>} work @returns {Promise<T>} */
  async #try(work) {
    const storage = this.#storage;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("storage does not answer")), PATIENCE_MS);
    });
    try {
      return /** @type {T} */ (await Promise.race([work(storage), late]));
    } catch (error) {
      if (storage instanceof MemoryStorage) throw error;
      if (this.#storage === storage) this.#storage = new MemoryStorage();
      this.hasFailed = true;
      return work(this.#storage);
    } finally {
      clearTimeout(timer);
    }
  }
}
