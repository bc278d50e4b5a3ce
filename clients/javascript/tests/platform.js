/** What a browser gives a page and Node does not: a cookie jar, Web Locks, storage that tabs share. */

/** Keeps cookies like a browser, for one origin. The same jar in several clients makes them tabs of one browser. */
export class CookieJar {
  /** @type {Map<string, {value: string, path: string}>} */
  #cookies = new Map();

  /** @type {typeof globalThis.fetch} */
  fetch = async (input, init = {}) => {
    const headers = new Headers(init.headers);
    const {pathname} = new URL(String(input));
    const sent = [...this.#cookies].filter(([, {path}]) => pathname.startsWith(path));
    if (init.credentials !== "omit" && sent.length) {
      headers.set("cookie", sent.map(([name, {value}]) => `${name}=${value}`).join("; "));
    }
    const response = await fetch(input, {...init, headers});
    for (const cookie of response.headers.getSetCookie()) this.#take(cookie);
    return response;
  };

  get size() {
    return this.#cookies.size;
  }

  /** @param {string} cookie */
  #take(cookie) {
    const [pair, ...attributes] = cookie.split("; ");
    const [name, value] = pair.split("=");
    const find = (/** @type {string} */ key) => attributes.find((one) => one.toLowerCase().startsWith(`${key}=`))?.slice(key.length + 1);
    if (find("max-age") === "0") this.#cookies.delete(name);
    else this.#cookies.set(name, {value: value.replaceAll('"', ""), path: find("path") ?? "/"});
  }
}

/** Web Locks of one browser: exclusive, in the order of asking. */
export class Locks {
  /** @type {Map<string, Promise<unknown>>} */
  #last = new Map();
  /** Names in the order in which they were held. @type {string[]} */
  held = [];

  /** @param {string} name @param {any} work */
  request = async (name, work) => {
    const before = this.#last.get(name);
    const mine = (async () => {
      await before?.catch(() => {});
      this.held.push(name);
      return work({name, mode: "exclusive"});
    })();
    this.#last.set(name, mine);
    return mine;
  };
}

/** @returns {import("../src/types.js").TokenStore & {token: string|null}} */
export function tokenStore() {
  return {
    token: null,
    async load() {
      return this.token;
    },
    async save(token) {
      this.token = token;
    },
  };
}
