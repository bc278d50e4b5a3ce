/** The length of a text as the service counts it, and the text as it is sent. */

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

function isHigh(unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLow(unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
