/** Whether a message is nothing but a few emoji, which are then shown larger. */

const LONGEST = 80;
const MOST = 3;

const ONLY_EMOJI =
  /^(?:[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u200d\ufe0f\s]|[0-9#*]\ufe0f?\u20e3)+$/u;

const segmenter = "Segmenter" in Intl ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

/** @param {string} content */
export function isFewEmoji(content) {
  const text = content.trim();
  if (text === "" || text.length > LONGEST || !ONLY_EMOJI.test(text)) return false;
  // ©, ™ and the like are pictographs to Unicode and letters to everybody else.
  if (!/\p{Emoji_Presentation}|\ufe0f|\u20e3/u.test(text)) return false;
  const visible = text.replace(/\s/g, "");
  const pieces = segmenter === null ? Array.from(visible) : Array.from(segmenter.segment(visible));
  return pieces.length <= MOST;
}
