/**
 * A bad network: a TCP proxy in front of the server that cuts connections, delays what passes, loses answers, and
 * drops, doubles or reorders single frames that the server sends.
 */

import {createServer, connect} from "node:net";

/** @typedef {(frame: any) => "pass"|"drop"|"twice"|"late"|{instead: object}} Judge */

export class Network {
  /** @type {Set<{client: import("node:net").Socket, server: import("node:net").Socket}>} */
  #pairs = new Set();
  #server;
  #target;
  /** No connection gets through. */
  isDown = false;
  /** Answers of the server are swallowed, and the connection is cut at the next one. */
  losesAnswers = false;
  /** Milliseconds that every packet takes longer. */
  delayMs = 0;
  /** What becomes of a frame of the server. @type {Judge} */
  judge = () => "pass";
  /** Connections cut so far. */
  cuts = 0;

  /** @param {number} target port */
  constructor(target) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** @param {number} target port @returns {Promise<Network>} */
  static async start(target) {
    const network = new Network(target);
    await new Promise((resolve) => network.#server.listen(0, "127.0.0.1", () => resolve(undefined)));
    return network;
  }

  get url() {
    const {port} = /** @type {import("node:net").AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${port}`;
  }

  /** Ends every connection now, in the middle of whatever is said. */
  cut() {
    for (const {client, server} of [...this.#pairs]) {
      this.cuts++;
      client.destroy();
      server.destroy();
    }
  }

  async stop() {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** @param {import("node:net").Socket} client */
  #accept(client) {
    client.on("error", () => {});
    if (this.isDown) {
      client.destroy();
      return;
    }
    const server = connect(this.#target, "127.0.0.1");
    server.on("error", () => {});
    const pair = {client, server};
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    const frames = new Frames(client, (frame) => this.judge(frame));
    client.on("close", end);
    server.on("close", () => setTimeout(end, this.delayMs));
    client.on("data", (data) => this.#later(() => server.write(data)));
    server.on("data", (data) => {
      if (this.losesAnswers) end();
      else this.#later(() => frames.take(data));
    });
  }

  /** @param {() => void} work */
  #later(work) {
    if (this.delayMs) setTimeout(work, this.delayMs);
    else work();
  }
}

/** Splits what the server sends on a WebSocket into frames; passes everything else on as it is. */
class Frames {
  #client;
  #judge;
  #isSocket = false;
  #buffer = Buffer.alloc(0);
  /** @type {Buffer|null} */
  #late = null;

  /** @param {import("node:net").Socket} client @param {Judge} judge */
  constructor(client, judge) {
    this.#client = client;
    this.#judge = judge;
  }

  /** @param {Buffer} data */
  take(data) {
    if (!this.#isSocket) {
      // A connection may have served requests before it becomes a socket.
      this.#isSocket = data.toString("latin1", 0, 12) === "HTTP/1.1 101";
      const end = this.#isSocket ? data.indexOf("\r\n\r\n") + 4 : data.length;
      this.#client.write(data.subarray(0, end));
      data = data.subarray(end);
    }
    this.#buffer = Buffer.concat([this.#buffer, data]);
    for (let frame = this.#next(); frame; frame = this.#next()) this.#pass(frame.whole, frame.payload);
  }

  #next() {
    const buffer = this.#buffer;
    if (buffer.length < 2) return null;
    let length = buffer[1] & 127;
    let start = 2;
    if (length === 126) {
      if (buffer.length < 4) return null;
      length = buffer.readUInt16BE(2);
      start = 4;
    } else if (length === 127) {
      if (buffer.length < 10) return null;
      length = Number(buffer.readBigUInt64BE(2));
      start = 10;
    }
    if (buffer.length < start + length) return null;
    this.#buffer = buffer.subarray(start + length);
    return {whole: buffer.subarray(0, start + length), payload: buffer.subarray(start, start + length)};
  }

  /** @param {Buffer} whole @param {Buffer} payload */
  #pass(whole, payload) {
    const isText = (whole[0] & 15) === 1;
    const verdict = isText ? this.#judge(JSON.parse(payload.toString())) : "pass";
    if (verdict === "late" && !this.#late) {
      this.#late = whole;
      return;
    }
    if (typeof verdict === "object") this.#client.write(encode(verdict.instead));
    else if (verdict !== "drop") this.#client.write(whole);
    if (verdict === "twice") this.#client.write(whole);
    if (this.#late) this.#client.write(this.#late);
    this.#late = null;
  }
}

/** @param {object} frame @returns {Buffer} as a server sends it */
function encode(frame) {
  const payload = Buffer.from(JSON.stringify(frame));
  const {length} = payload;
  return Buffer.concat([Buffer.from(length < 126 ? [0x81, length] : [0x81, 126, length >> 8, length & 255]), payload]);
}
