/** Has the page and its files kept by the browser, so that it opens without a network (service-worker.js). */

import { basePath } from "./router.js";

const address = `${location.origin}${basePath}/service-worker.js`;

export async function keepPage() {
  try {
    // The page's policy lets nothing but this one policy name a script, and this one names nothing but that file.
    const { trustedTypes } = /** @type {any} */ (globalThis);
    const policy = trustedTypes?.createPolicy("service-worker", { createScriptURL: () => address });
    await navigator.serviceWorker?.register(policy?.createScriptURL(address) ?? address);
  } catch {
    // Where the browser refuses it, the page needs the network as any page does.
  }
}
