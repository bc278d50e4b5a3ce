/** The length of a text as the service counts it, the text as it is sent, and its beginning. */

/** How far back a whole character is looked for: some pile up marks without end. */
const LONGEST_CHARACTER = 64;
/** What belongs to the character before it. */
const CONTINUES = /^[\p{M}\p{Emoji_Modifier}\u200d]/u;

/** Code points, so that an emoji is one. */
export function countCharacters(text) {
  let count = text.length;
  for (let at = 0; at < text.length - 1; at += 1) {
    if (isHigh(text.charCodeAt(at)) && isLow(text.charCodeAt(at + 1))) {
      count -= 1;
      at += 1;
    }
  }
  return count;
}

/**
 * Without the blank lines around it, and without what no message may hold: U+0000 and halves of surrogate
 * pairs, which some keyboards and clipboards leave behind.
 */
export function cleanMessage(text) {
  return text
    .replaceAll("\0", "")
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd")
    .replace(/^(?:[^\S\n]*\n)+/, "")
    .trimEnd();
}

/** At most the first `most` UTF-16 units, with no character cut in two or parted from its marks. */
export function beginningOf(text, most) {
  if (text.length <= most) return text;
  const least = Math.max(0, most - LONGEST_CHARACTER);
  let end = most;
  while (end > least && !isBetweenCharacters(text, end)) end -= 1;
  return text.slice(0, end);
}

function isBetweenCharacters(text, at) {
  if (isHigh(text.charCodeAt(at - 1)) && isLow(text.charCodeAt(at))) return false;
  return text[at - 1] !== "\u200d" && !CONTINUES.test(text.slice(at, at + 2));
}

function isHigh(unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLow(unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
