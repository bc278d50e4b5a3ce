/** The round picture of a person or the rounded square of a group: an image, or initials on a colour of the name. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { displayName } from "../names.js";
import { chatRevision } from "../state.js";
import { Icon } from "./icon.js";

const TONES = 10;

/**
 * @param {{name: string, image?: string | null, size?: "tiny" | "small" | "normal" | "large" | "huge",
 *   square?: boolean, online?: boolean, fallback?: string}} props `fallback`: the icon where a name has no letter
 */
export function Avatar({ name, image, size = "normal", square, online, fallback = "person" }) {
  const [broken, setBroken] = useState(/** @type {string | null} */ (null));
  const initials = initialsOf(name);
  const shown = image && image !== broken && isShowable(image) ? image : null;
  return html`<span
    class=${`avatar avatar--${size} avatar--tone-${toneOf(name)} ${square ? "avatar--square" : ""}`}
    aria-hidden="true"
  >
    <span class="avatar__picture" data-initials=${shown ? undefined : initials}>
      ${shown && html`<img src=${shown} alt="" loading="lazy" onError=${() => setBroken(shown)} />`}
      ${!shown && !initials && html`<${Icon} name=${fallback} size=${22} />`}
    </span>
    ${online && html`<span class="avatar__online"></span>`}
  </span>`;
}

/** @param {{user: {username?: string, full_name?: string | null, avatar_url?: string | null} | null} & Record<string, unknown>} props */
export function UserAvatar({ user, ...rest }) {
  return html`<${Avatar} name=${user ? displayName(user) : ""} image=${user?.avatar_url} ...${rest} />`;
}

/** @param {{chat: import("chat-service-client").Chat} & Record<string, unknown>} props follows the chat's name */
export function ChatAvatar({ chat, ...rest }) {
  chatRevision(chat.id).value;
  if (chat.type === "direct") return html`<${UserAvatar} user=${chat.peer} ...${rest} />`;
  return html`<${Avatar} name=${chat.title} square fallback="group" ...${rest} />`;
}

/** Pictures come from here or not at all: another place would learn who looks at it, and the page forbids it. */
function isShowable(image) {
  return image.startsWith("data:image/") || originOf(image) === location.origin;
}

/** Null where it is no address. `URL.parse` is younger than the browsers that this page asks for. */
function originOf(address) {
  try {
    return new URL(address).origin;
  } catch {
    return null;
  }
}

/** The first letters of the first and the last word; "" where the name begins with no letter or digit. */
function initialsOf(name) {
  const words = name.normalize("NFC").split(/[\s._-]+/u).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => String.fromCodePoint(word.codePointAt(0)).toLocaleUpperCase()).join("");
}

/** The same name has the same colour everywhere, whatever else it is used for. */
function toneOf(name) {
  let hash = 0;
  for (const character of name) hash = (Math.imul(hash, 31) + character.codePointAt(0)) | 0;
  // Mixed, because the last digit of the sum alone is much the same for names of one language.
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return ((hash ^ (hash >>> 16)) >>> 0) % TONES;
}
