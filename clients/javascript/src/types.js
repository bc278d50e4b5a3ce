/**
 * The shapes of the service's contract (docs/protocol.md) and of the platform that is injected. No code.
 *
 * @typedef {{id: number, username: string, full_name: string|null, bio: string|null, avatar_url: string|null,
 *   is_bot: boolean}} User What others see of an account.
 * @typedef {User & {email: string, phone: string|null, role: string, created_at: string}} Me
 * @typedef {{id: string, created_at: string, last_used_at: string, ip: string|null, user_agent: string|null,
 *   current: boolean}} DeviceSession
 * @typedef {"owner"|"admin"|"member"} Role
 * @typedef {{chat_id: number, user_id: number, username: string, full_name: string|null, role: Role,
 *   joined_at: string, left_at: string|null, version: number, read_seq: number, delivered_seq: number}} Participant
 * @typedef {{id: string, seq: number, sender_id: number}} ReplyTo
 * @typedef {{revision: number, content: string, edited_at: string}} Revision
 * @typedef {{version: string, limits: Limits, features: string[]}} Info
 * @typedef {{frame_bytes: number, frames_per_s: number|null, connections_per_user: number|null,
 *   outbound_bytes: number, message_chars: number, participants: number}} Limits
 *
 * @typedef {object} StoredMessage A message of the contract. It is replaced, never changed in place.
 * @property {string} id
 * @property {number} chat_id
 * @property {number} seq
 * @property {number} version
 * @property {number} revision
 * @property {number} sender_id
 * @property {string} sender_username
 * @property {string} message_type
 * @property {string} content
 * @property {string|null} client_message_id
 * @property {string} timestamp
 * @property {boolean} is_edited
 * @property {string|null} edited_at
 * @property {boolean} is_deleted
 * @property {ReplyTo|null} reply_to
 *
 * @typedef {object} PendingMessage One that waits in the outbox, or was refused. It is replaced, never changed.
 * @property {null} id
 * @property {number} chat_id
 * @property {null} seq
 * @property {number} sender_id
 * @property {string} sender_username
 * @property {string} content
 * @property {string} client_message_id
 * @property {string} timestamp When it was written, by this device's clock.
 * @property {false} is_edited
 * @property {false} is_deleted
 * @property {ReplyTo|null} reply_to
 * @property {"queued"|"failed"} state
 * @property {import("./errors.js").ChatError} [error] Why it was refused.
 *
 * @typedef {StoredMessage|PendingMessage} Message
 *
 * @typedef {{id: number, chat_type: "direct"|"group", name: string|null, created_by: number, created_at: string,
 *   version: number, epoch: string, last_seq: number, participant_count: number}} ChatData
 * @typedef {ChatData & {last_message: StoredMessage|null, unread_count: number, peer: User|null,
 *   my: {role: Role, read_seq: number, delivered_seq: number}}} ListedChat
 * @typedef {{items: StoredMessage[], has_more: boolean, version: number, epoch: string}} HistoryPage
 * @typedef {{user_id: number, read_seq: number, delivered_seq: number}} Position
 * @typedef {{type: string} & Record<string, any>} Frame One JSON object on the socket.
 *
 * @typedef {"messages"|"settings"|"participants"|"positions"|"typing"|"pending"|"draft"} ChatChange
 * @typedef {"unknown"|"signed-out"|"signed-in"} ClientState
 * @typedef {"stopped"|"connecting"|"online"|"offline"} ConnectionState
 *
 * @typedef {object} Events What `client.on` tells, by name.
 * @property {undefined} state `client.state` has changed.
 * @property {undefined} me `client.me` has changed.
 * @property {undefined} info `client.info` has been read.
 * @property {undefined} connection `client.connection` or `client.retryAt` has changed.
 * @property {undefined} chats The list: its order, its members, or whether it is loaded.
 * @property {{chat: import("./chat.js").Chat, kinds: Set<ChatChange>}} chat Something in one chat.
 * @property {{chat: import("./chat.js").Chat, message: StoredMessage}} message A new one of somebody else came live.
 * @property {{chat: import("./chat.js").Chat, message: StoredMessage, count: number}} missed What came to a chat while
 *   there was no connection, or with which it came into the list: its newest, and how many more are unread.
 * @property {{userId: number}} presence
 * @property {{reason: string}} signed-out An error code, `signed_out`, or `account_changed`.
 *
 * @typedef {object} Storage An asynchronous key-value store. Values are plain data.
 * @property {(key: string) => Promise<any>} get Undefined where there is none.
 * @property {(key: string, value: any) => Promise<void>} set
 * @property {(key: string) => Promise<void>} delete
 * @property {(prefix: string) => Promise<Array<[string, any]>>} list Ascending by key.
 * @property {(prefix: string) => Promise<void>} clear Removes every key that begins so.
 *
 * @typedef {{load(): Promise<string|null>, save(token: string|null): Promise<void>}} TokenStore
 *
 * @typedef {object} Options
 * @property {string} [url] Origin of the service; by default that of the page.
 * @property {"cookie"|"tokens"} [session] Where the refresh token lives: in an HttpOnly cookie (the default), or in
 *   `tokenStore`.
 * @property {TokenStore} [tokenStore] For "tokens"; by default memory.
 * @property {string} [name] Clients of one origin with the same name share one identity and one storage.
 * @property {Storage} [storage] By default IndexedDB where there is one, else memory.
 * @property {typeof globalThis.fetch} [fetch]
 * @property {new (url: string, protocols?: string[]) => WebSocket} [WebSocket]
 * @property {(new (name: string) => BroadcastChannel)|null} [BroadcastChannel] Null: there are no other tabs.
 * @property {Pick<LockManager, "request">|null} [locks] Web Locks. Null: there are none.
 * @property {() => number} [random] From 0 to 1, for pauses.
 * @property {() => number} [now] Milliseconds since 1970.
 */

export {};
