/** Requests to `/api/v1`: JSON in, JSON out, every failure a `ChatError`. Knows nothing of sessions. */

import {ChatError} from "./errors.js";

const TIMEOUT_MS = 30_000;

/**
 * @typedef {object} Call
 * @property {unknown} [body]
 * @property {Record<string, string|number>} [query]
 * @property {string} [token]
 * @property {Record<string, string>} [headers]
 * @property {boolean} [withCookie] Uses the session's cookie (auth calls in cookie mode).
 * @property {boolean} [outlivesPage] It is sent also where the page is closed meanwhile.
 * @property {number} [timeoutMs]
 */

export class Rest {
  #fetch;

  /** @param {string} url origin of the service @param {typeof globalThis.fetch} fetch */
  constructor(url, fetch) {
    this.url = url.replace(/\/+$/, "");
    this.#fetch = fetch;
  }

  /** @param {string} method @param {string} path @param {Call} [call] @returns {Promise<any>} */
  async call(method, path, call = {}) {
    const {body, query = {}, token, headers = {}, withCookie = false, outlivesPage = false, timeoutMs = TIMEOUT_MS} = call;
    const words = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const url = `${this.url}/api/v1${path}${words.length ? `?${words.join("&")}` : ""}`;
    const all = {...headers};
    if (token) all.Authorization = `Bearer ${token}`;
    if (body !== undefined) all["Content-Type"] = "application/json";
    if (withCookie) all["X-Chat-Session"] = "cookie";
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeoutMs);
    let response, text;
    try {
      response = await this.#fetch(url, {
        method,
        headers: all,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: withCookie ? "same-origin" : "omit",
        cache: "no-store",
        keepalive: outlivesPage,
        signal: abort.signal,
      });
      text = await response.text();
    } catch (error) {
      throw new ChatError("network", {detail: String(error)});
    } finally {
      clearTimeout(timer);
    }
    const answer = parse(text);
    if (!response.ok) throw ChatError.ofResponse(response, answer);
    if (answer === undefined && text) throw new ChatError("unavailable", {detail: "The answer is not JSON."});
    return answer;
  }
}

/** @param {string} text @returns {any} undefined where it is not JSON */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
