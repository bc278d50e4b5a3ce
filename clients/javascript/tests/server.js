/** A real server of the checkout on stores of its own: started, killed, started again on the same port. */

import {spawn} from "node:child_process";
import {mkdtemp, rm} from "node:fs/promises";
import {createServer} from "node:net";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {fileURLToPath} from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const STARTS_WITHIN_MS = 30_000;

export class Server {
  /** @type {import("node:child_process").ChildProcess|null} */
  #process = null;
  #output = "";
  #folder;
  #settings;

  /** @param {string} folder @param {number} port @param {Record<string, string>} settings */
  constructor(folder, port, settings) {
    this.#folder = folder;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#settings = settings;
  }

  /** @param {Record<string, string>} [settings] of the environment */
  static async start(settings = {}) {
    const server = new Server(await mkdtemp(join(tmpdir(), "chat-sdk-")), await findPort(), settings);
    await server.start();
    return server;
  }

  async start() {
    const child = spawn(PYTHON, ["-m", "chat_service", "serve", "--port", String(this.port)], {
      cwd: ROOT,
      env: {
        ...process.env,
        CHAT_DATA_DIR: this.#folder,
        CHAT_RATE_LIMITS_ENABLED: "false",
        CHAT_LOG_LEVEL: "warning",
        CHAT_PASSWORD_MEMORY_MIB: "1",
        ...this.#settings,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    const late = setTimeout(() => child.kill("SIGKILL"), STARTS_WITHIN_MS);
    await new Promise((resolve, reject) => {
      const hear = (/** @type {Buffer} */ data) => {
        this.#output += data;
        if (String(data).includes("serves on")) resolve(undefined);
      };
      child.stdout.on("data", hear);
      child.stderr.on("data", hear);
      child.once("exit", () => reject(new Error(`The server did not start:\n${this.#output}`)));
    });
    clearTimeout(late);
  }

  /** @param {"SIGTERM"|"SIGKILL"} [signal] */
  async stop(signal = "SIGKILL") {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  /** Runs a command of the program on the same stores. @param {string[]} words */
  async run(words) {
    const child = spawn(PYTHON, words, {
      cwd: ROOT,
      env: {...process.env, CHAT_DATA_DIR: this.#folder, CHAT_LOG_LEVEL: "warning", ...this.#settings},
      stdio: ["ignore", "ignore", "inherit"],
    });
    const code = await new Promise((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}`);
  }

  /** A file of its stores. @param {string} name */
  path(name) {
    return join(this.#folder, name);
  }

  async remove() {
    await this.stop();
    await rm(this.#folder, {recursive: true, force: true});
  }
}

/** @returns {Promise<number>} a port that nobody listens on */
export function findPort() {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const {port} = /** @type {import("node:net").AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}
