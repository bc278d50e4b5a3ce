/** Whether a key belongs to an input method, which composes a word of several keys and ends it with Enter. */

/** @param {KeyboardEvent} event */
export function isComposing(event) {
  // Safari ends the composition before it tells of that Enter; the code of the key alone gives it away.
  return event.isComposing || event.keyCode === 229;
}
