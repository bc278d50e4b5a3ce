/** What a browser tells of its page and its network. Elsewhere nothing is told. */

/**
 * @param {{wake: () => void, drop: () => void, save: () => void}} on back again; network gone; perhaps the end
 * @returns {() => void} listens no more
 */
export function watchPage({wake, drop, save}) {
  const {window, document} = globalThis;
  if (!window?.addEventListener) return () => {};
  const stop = new AbortController();
  const {signal} = stop;
  window.addEventListener("online", wake, {signal});
  window.addEventListener("pageshow", wake, {signal});
  window.addEventListener("offline", drop, {signal});
  window.addEventListener("pagehide", save, {signal});
  document?.addEventListener("visibilitychange", () => (document.hidden ? save() : wake()), {signal});
  return () => stop.abort();
}
