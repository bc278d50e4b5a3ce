/**
 * Links in a text: where one ends, where it leads, and what must be shown beside it.
 *
 * Only http, https and mailto ever become links. An address that leads elsewhere than it reads (another
 * alphabet, a name before an at sign, a number for a host) carries the true host as its `note`, which is shown.
 *
 * @typedef {{type: string, href: string, text: string, note: string | null}} Link of the type "link"
 */

const LONGEST = 2048;

const BEGINNING = /https?:\/\/|mailto:|www\./iy;

// White space, controls, quotes and angle brackets end an address everywhere; so do the marks that change
// the direction of what follows, and the punctuation of scripts that put no space after it.
const CANDIDATE = new RegExp(
  `(?:(?!\\]\\()[^\\s\\p{Cc}<>"\`\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069。，、！？；：（）「」『』【】《》]){1,${LONGEST}}`,
  "uy",
);

const NEVER_LAST = new Set(".,;:!?'’”»…*~|\\");
const OPENING = { ")": "(", "]": "[", "}": "{" };

const MAIL = /^mailto:[^\s@?&]+@[^\s@?&]+(\?|$)/i;

/**
 * The address that begins at `start`: `end` is where the text goes on, `link` is null where it only looked
 * like one. Null where nothing like an address begins.
 *
 * @param {string} text
 * @param {number} start
 * @returns {{end: number, link: Link | null} | null}
 */
export function readLink(text, start) {
  BEGINNING.lastIndex = start;
  if (!BEGINNING.test(text)) return null;
  CANDIDATE.lastIndex = start;
  const candidate = CANDIDATE.exec(text);
  if (candidate === null) return null;
  const written = withoutEnding(candidate[0]);
  const link = describeLink(written, written);
  return { end: start + (link === null ? candidate[0].length : written.length), link };
}

/**
 * The link of `[label](address)`. Its host always stands beside the label.
 *
 * @param {string} address
 * @returns {{href: string, note: string} | null}
 */
export function readTarget(address) {
  BEGINNING.lastIndex = 0;
  if (address.length > LONGEST || !BEGINNING.test(address)) return null;
  const link = describeLink(address, "");
  if (link === null) return null;
  return { href: link.href, note: link.note ?? new URL(link.href).host };
}

/** Without the punctuation that belongs to the sentence, and the brackets that were opened before it. */
function withoutEnding(candidate) {
  const count = {};
  for (const character of candidate) {
    if ("()[]{}".includes(character)) count[character] = (count[character] ?? 0) + 1;
  }
  let end = candidate.length;
  while (end > 0) {
    const last = candidate[end - 1];
    const opening = OPENING[last];
    if (opening !== undefined) {
      if ((count[opening] ?? 0) >= count[last]) break;
      count[last] -= 1;
    } else if (!NEVER_LAST.has(last)) {
      break;
    }
    end -= 1;
  }
  return candidate.slice(0, end);
}

function describeLink(written, text) {
  const bare = /^www\./i.test(written);
  const url = parseAddress(bare ? `https://${written}` : written);
  if (url === null) return null;
  if (url.protocol === "mailto:") {
    if (!MAIL.test(written)) return null;
    return { type: "link", href: url.href, text, note: text === "" ? url.pathname : null };
  }
  if (url.hostname === "" || (bare && !/^www\.[^.]/i.test(url.hostname))) return null;
  const note = writtenHost(written) === url.hostname ? null : url.hostname;
  return { type: "link", href: url.href, text, note };
}

function parseAddress(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** What a reader takes for the host: everything up to the first slash, without a port. */
function writtenHost(written) {
  const from = written.indexOf("//");
  const rest = from === -1 ? written : written.slice(from + 2);
  return rest.split(/[/?#\\]/, 1)[0].replace(/:\d*$/, "").toLowerCase();
}
