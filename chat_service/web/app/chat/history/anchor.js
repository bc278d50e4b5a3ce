/**
 * What stays where it is while everything around it changes: a row at a distance from the upper edge, or the
 * lower end of the track. From it follows how far to scroll, whatever has been measured meanwhile.
 *
 * @typedef {import("./track.js").Track} Track
 * @typedef {{edge: "end", gap: number} | {edge: "row", index: number, offset: number}} Anchor
 *   `gap`: pixels between the lower edge of the view and the end; `offset`: pixels from the upper edge of the
 *   view to the row, negative where the row begins above it
 */

/** Nearer than this to the end the view follows new messages. */
export const NEAR_END_PX = 96;

/** @returns {Anchor} */
export function atEnd(gap = 0) {
  return { edge: "end", gap };
}

/** @returns {Anchor} */
export function atRow(index, offset) {
  return { edge: "row", index, offset };
}

/**
 * How far to scroll so that the anchor is in its place, as far as the track reaches.
 *
 * @param {Track} track
 * @param {Anchor} anchor
 * @param {number} view height of the view in pixels
 */
export function scrollTopFor(track, anchor, view) {
  const most = Math.max(0, track.total - view);
  const wished = anchor.edge === "end" ? most - anchor.gap : track.offsetOf(anchor.index) - anchor.offset;
  return Math.min(most, Math.max(0, wished));
}

/**
 * The anchor that holds what is seen now.
 *
 * @param {Track} track
 * @param {number} scrollTop
 * @param {number} view
 * @param {(index: number) => boolean} isKnown rows that are not loaded may change their height at any time,
 *   so the first loaded one in the view is taken where there is one
 * @returns {Anchor}
 */
export function anchorFrom(track, scrollTop, view, isKnown) {
  const gap = Math.max(0, track.total - view - scrollTop);
  if (gap <= NEAR_END_PX || track.count === 0) return atEnd(gap);
  const first = track.indexAt(scrollTop);
  const last = track.indexAt(scrollTop + view - 1);
  let index = first;
  while (index < last && !isKnown(index)) index += 1;
  if (!isKnown(index)) index = first;
  return atRow(index, track.offsetOf(index) - scrollTop);
}

/**
 * The rows to draw: those in the view and `beyond` pixels on either side, at most `most` of them.
 *
 * @returns {{from: number, to: number}} `to` is included; {1, 0} where there are no rows
 */
export function rowsAround(track, scrollTop, view, beyond, most) {
  if (track.count === 0) return { from: 1, to: 0 };
  const middle = track.indexAt(scrollTop + view / 2);
  const from = Math.max(track.indexAt(scrollTop - beyond), track.step(middle, -most / 2));
  const to = Math.min(track.indexAt(scrollTop + view + beyond), track.step(middle, most / 2));
  return { from, to };
}
