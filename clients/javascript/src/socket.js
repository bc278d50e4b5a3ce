/**
 * One socket that comes back: connecting, full-jitter pauses, a heartbeat, and commands answered by `ref`.
 *
 * It knows frames only as JSON objects; what they mean is the business of `sync.js`.
 */

import {ChatError} from "./errors.js";

/** @import {ConnectionState, Frame} from "./types.js" */

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const CONNECT_MS = 10_000;
const ANSWER_MS = 20_000;
const TICK_MS = 5_000;
const GENTLE_PAUSE_MS = 5_000;

/**
 * @typedef {object} SocketEvents
 * @property {() => Promise<WebSocket>} open Fetches the credential and opens a socket.
 * @property {(frame: Frame) => void} onframe Every frame, before its command is settled.
 * @property {() => void} onstate
 * @property {(code: number, reason: string) => boolean} onclose Returns whether to come back.
 * @property {() => number} random
 * @property {() => number} now
 */

export class Socket {
  /** @type {ConnectionState} */
  state = "stopped";
  /** When it will try again, in ms since 1970. @type {number|null} */
  retryAt = null;
  /** Why the server asked not to come back: the reason of the close. @type {string|null} */
  stoppedBy = null;
  /** @type {WebSocket|null} */
  #socket = null;
  /** @type {Map<string, {resolve: (frame: Frame) => void, reject: (error: ChatError) => void, timer: any}>} */
  #calls = new Map();
  #nextRef = 1;
  #attempts = 0;
  /** Counts connections, so that what belongs to a former one is recognised. */
  #generation = 0;
  #isWanted = false;
  /** The server asked not to come back, until the user turns to this page again. */
  #isResting = false;
  /** Pause asked for by `server_restarting`. */
  #restartMs = 0;
  #heartbeatMs = 20_000;
  #heardAt = 0;
  #pingedAt = 0;
  /** @type {any} */
  #timer = null;
  /** @type {any} */
  #ticker = null;
  #on;

  /** @param {SocketEvents} events */
  constructor(events) {
    this.#on = events;
  }

  get isOnline() {
    return this.state === "online";
  }

  /** The number of the present connection. */
  get generation() {
    return this.#generation;
  }

  start() {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#isResting = false;
    this.stoppedBy = null;
    this.#attempts = 0;
    void this.#connect();
  }

  stop() {
    this.#isWanted = this.#isResting = false;
    this.stoppedBy = null;
    this.#leave(1000);
    this.#set("stopped", null);
  }

  /**
   * The network or the page has come back: try now, or make sure that the connection still lives.
   * @param {boolean} [isSeen] whether the user looks at the page
   */
  wake(isSeen = true) {
    if (this.#isResting && isSeen) this.start();
    if (!this.#isWanted) return;
    if (this.state === "offline") {
      this.#attempts = 0;
      void this.#connect();
    } else if (this.isOnline && !this.#pingedAt) {
      this.#ping();
    }
  }

  /** The network is gone, or the connection cannot be trusted any more. */
  drop() {
    if (this.#socket) this.#fail();
  }

  /** The server works: the next pause is short again. */
  settle() {
    this.#attempts = 0;
  }

  /** @param {Frame} frame @returns {boolean} whether it was handed over */
  send(frame) {
    if (!this.isOnline || !this.#socket) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Sends a command and waits for its reply. @param {Frame} frame @returns {Promise<Frame>} */
  call(frame) {
    return new Promise((resolve, reject) => {
      const ref = String(this.#nextRef++);
      if (!this.send({...frame, ref})) {
        reject(new ChatError("network", {detail: "Not connected."}));
        return;
      }
      this.#calls.set(ref, {resolve, reject, timer: this.#beginPatience()});
    });
  }

  /** A server that lives answers in time; another connection shall ask again. */
  #beginPatience() {
    return setTimeout(() => this.drop(), ANSWER_MS);
  }

  async #connect() {
    clearTimeout(this.#timer);
    const generation = ++this.#generation;
    this.#set("connecting", null);
    this.#timer = setTimeout(() => this.#fail(), CONNECT_MS);
    try {
      const socket = await this.#on.open();
      if (generation !== this.#generation) {
        socket.close();
        return;
      }
      this.#socket = socket;
      socket.onmessage = (event) => this.#hear(event.data);
      socket.onclose = (event) => {
        this.#leave();
        this.#ended(event.code, event.reason);
      };
      // Node does not always tell of a failed handshake by `close`.
      socket.onerror = () => this.drop();
    } catch (error) {
      if (generation === this.#generation) {
        this.#restartMs = (error instanceof ChatError && error.retryAfterMs) || 0;
        this.#fail();
      }
    }
  }

  /** @param {unknown} data */
  #hear(data) {
    this.#heardAt = this.#on.now();
    this.#pingedAt = 0;
    /** @type {Frame} */
    const frame = JSON.parse(String(data));
    if (frame.type === "connected") this.#open(frame);
    else if (frame.type === "server_restarting") this.#restartMs = frame.retry_after_ms;
    this.#on.onframe(frame);
    if (frame.type === "ack" || frame.type === "pong") this.#take(frame.ref)?.resolve(frame);
    else if (frame.type === "error") this.#take(frame.ref)?.reject(ChatError.ofFrame(frame));
    else this.#prolong(frame.ref);
  }

  /** A part of a long answer. @param {string|null|undefined} ref */
  #prolong(ref) {
    const call = ref ? this.#calls.get(ref) : undefined;
    if (!call) return;
    clearTimeout(call.timer);
    call.timer = this.#beginPatience();
  }

  /** @param {Frame} connected */
  #open(connected) {
    clearTimeout(this.#timer);
    this.#heartbeatMs = connected.heartbeat_s * 1000;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#set("online", null);
  }

  #tick() {
    const now = this.#on.now();
    if (this.#pingedAt) {
      if (now - this.#pingedAt >= TICK_MS) this.drop();
    } else if (Math.abs(now - this.#heardAt) > 2 * this.#heartbeatMs) {
      this.#ping();
    }
  }

  #ping() {
    this.#pingedAt = this.#on.now();
    this.send({type: "ping"});
  }

  /** @param {string|null} ref */
  #take(ref) {
    const call = ref === null ? undefined : this.#calls.get(ref);
    if (call && ref !== null) {
      clearTimeout(call.timer);
      this.#calls.delete(ref);
    }
    return call;
  }

  /** Lets go of the socket. @param {number} [code] closes it too */
  #leave(code) {
    const socket = this.#socket;
    this.#generation++;
    clearTimeout(this.#timer);
    clearInterval(this.#ticker);
    this.#socket = null;
    this.#pingedAt = 0;
    if (socket) {
      socket.onmessage = socket.onclose = socket.onerror = null;
      if (code !== undefined) socket.close(code);
    }
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) {
      clearTimeout(call.timer);
      call.reject(new ChatError("network", {detail: "The connection ended."}));
    }
  }

  #fail() {
    this.#leave(4000);
    this.#ended(1006, "");
  }

  /** @param {number} code @param {string} reason */
  #ended(code, reason) {
    if (!this.#isWanted) return;
    const comesBack = this.#on.onclose(code, reason);
    if (!this.#isWanted) return;
    if (!comesBack) {
      this.#isWanted = false;
      this.#isResting = true;
      this.stoppedBy = reason;
      this.#set("stopped", null);
      return;
    }
    const cap = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#attempts++, 10));
    const least = this.#restartMs || (code === 1008 ? GENTLE_PAUSE_MS : 0);
    this.#restartMs = 0;
    const pause = least + this.#on.random() * cap;
    this.#timer = setTimeout(() => void this.#connect(), pause);
    this.#set("offline", this.#on.now() + pause);
  }

  /** @param {ConnectionState} state @param {number|null} retryAt */
  #set(state, retryAt) {
    if (state === this.state && retryAt === this.retryAt) return;
    this.state = state;
    this.retryAt = retryAt;
    this.#on.onstate();
  }
}
