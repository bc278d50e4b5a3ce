/** Style sheets of parts that are not needed for the first paint. */

/** @type {Map<string, Promise<void>>} */
const loading = new Map();

/**
 * Loads `style/<name>.css` once; rejects where it cannot be loaded, and tries again at the next call.
 *
 * @param {string} name
 * @returns {Promise<void>} when it is in force
 */
export function loadStyle(name) {
  const known = loading.get(name);
  if (known) return known;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL(`../style/${name}.css`, import.meta.url).href;
  const loaded = new Promise((resolve, reject) => {
    link.onload = () => resolve(undefined);
    link.onerror = () => {
      loading.delete(name);
      link.remove();
      reject(new Error(`The style sheet ${name} could not be loaded.`));
    };
  });
  loading.set(name, loaded);
  document.head.append(link);
  return loaded;
}

/**
 * A module together with the style sheet that it needs.
 *
 * @template M
 * @param {() => Promise<M>} load an `import(…)`
 * @param {string} name of the style sheet
 * @returns {() => Promise<M>}
 */
export function withStyle(load, name) {
  return async () => (await Promise.all([load(), loadStyle(name)]))[0];
}
