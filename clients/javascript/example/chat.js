/** A page that signs in, shows one chat, and sends. Everything that is not about this page comes from the client. */

import {ChatClient} from "../src/index.js";

/** @import {Chat} from "../src/chat.js" */
/** @import {Message} from "../src/types.js" */

const SERVER = "http://127.0.0.1:8000";
const SHOWN = 50;

const client = new ChatClient({url: SERVER, session: "tokens"});
/** @type {Chat|undefined} */
let shown;

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${id}.`);
  return element;
}

const signIn = find("sign-in", HTMLFormElement);
const open = find("open", HTMLFormElement);
const compose = find("compose", HTMLFormElement);
const chats = find("chats", HTMLSelectElement);

/** @param {HTMLFormElement} form @param {string} name */
function input(form, name) {
  return /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
}

/** @param {Chat|undefined} chat */
async function show(chat) {
  shown = chat;
  render();
  await chat?.loadParticipants();
  await chat?.ensure(chat.lastSeq - SHOWN, chat.lastSeq);
  chat?.markRead();
  render();
}

function render() {
  find("sign-in", HTMLFormElement).hidden = client.state === "signed-in";
  find("chat", HTMLElement).hidden = client.state !== "signed-in";
  find("connection", HTMLOutputElement).value = client.connection;
  chats.replaceChildren(...client.sortedChats().map((chat) => {
    const label = chat.unread ? `${chat.title} (${chat.unread})` : chat.title;
    return new Option(label, String(chat.id), false, chat === shown);
  }));
  find("messages", HTMLOListElement).replaceChildren(...listMessages().map(makeRow));
}

/** @returns {Message[]} */
function listMessages() {
  if (!shown) return [];
  const messages = [];
  for (let seq = Math.max(1, shown.lastSeq - SHOWN); seq <= shown.lastSeq; seq++) {
    const message = shown.message(seq);
    if (message) messages.push(message);
  }
  return [...messages, ...shown.pending];
}

/** Text goes in as text, so that nothing in it can run. @param {Message} message */
function makeRow(message) {
  const row = document.createElement("li");
  const note = document.createElement("small");
  const isMine = message.sender_id === client.me?.id;
  note.textContent = `${message.sender_username} ${isMine ? shown?.status(message) : ""} `;
  row.append(note, message.is_deleted ? "(deleted)" : message.content);
  return row;
}

/** @param {unknown} error */
function tell(error) {
  find("refusal", HTMLElement).textContent = error instanceof Error ? error.message : "";
}

signIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  const username = input(signIn, "username").value;
  const password = input(signIn, "password").value;
  const isNew = event.submitter instanceof HTMLButtonElement && event.submitter.value === "register";
  try {
    tell(null);
    if (isNew) await client.register({username, password, email: `${username}@example.org`});
    else await client.signIn(username, password);
  } catch (error) {
    tell(error);
  }
});

open.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = input(open, "username");
  const [found] = await client.searchUsers(field.value);
  field.setCustomValidity(found ? "" : "Nobody has that name.");
  field.reportValidity();
  if (found) await show(await client.openDirect(found.id));
});

compose.addEventListener("submit", (event) => {
  event.preventDefault();
  shown?.send(input(compose, "text").value);
  compose.reset();
});

open.addEventListener("input", () => input(open, "username").setCustomValidity(""));
chats.addEventListener("change", () => void show(client.chats.get(Number(chats.value))));
client.on("state", render);
client.on("connection", render);
client.on("chats", () => {
  if (shown && client.chats.has(shown.id)) render();
  else void show(client.sortedChats()[0]);
});
client.on("chat", ({chat, kinds}) => {
  if (chat === shown && kinds.has("messages")) chat.markRead();
  render();
});

await client.restore();
client.start();
render();
