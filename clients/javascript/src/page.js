/** What a browser tells of its page and its network. Elsewhere nothing is told. */

/**
 * @param {{wake: (isSeen: boolean) => void, drop: () => void, save: () => void}} on page or network are back; network
 *   gone; perhaps the end
 * @returns {() => void} listens no more
 */
export function watchPage({wake, drop, save}) {
  const {window, document} = globalThis;
  if (!window?.addEventListener) return () => {};
  const stop = new AbortController();
  const {signal} = stop;
  window.addEventListener("online", () => wake(!document?.hidden), {signal});
  window.addEventListener("pageshow", () => wake(true), {signal});
  window.addEventListener("offline", drop, {signal});
  window.addEventListener("pagehide", save, {signal});
  document?.addEventListener("visibilitychange", () => (document.hidden ? save() : wake(true)), {signal});
  return () => stop.abort();
}
