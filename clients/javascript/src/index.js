/** Client of chat-service. See README.md for a tour. */

export {Chat} from "./chat.js";
export {ChatClient} from "./client.js";
export {ChatError} from "./errors.js";
export {makeKey} from "./keys.js";
export {IndexedDbStorage, MemoryStorage} from "./storage.js";
