/** What a dialog shows while something is read for it, and when that fails. */

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { errorSentence } from "../../errors.js";
import { t } from "../../i18n.js";
import { Button, Skeleton } from "../../ui/index.js";

/**
 * @template T
 * @param {() => Promise<T>} load
 * @returns {{value: T | null, placeholder: unknown}} `placeholder` is drawn as long as `value` is null
 */
export function useLoaded(load) {
  const value = useSignal(/** @type {T | null} */ (null));
  const error = useSignal(/** @type {any} */ (null));
  const start = async () => {
    error.value = null;
    try {
      value.value = await load();
    } catch (reason) {
      error.value = reason;
    }
  };
  useEffect(() => void start(), []);
  const placeholder =
    error.value === null
      ? html`<div class="dialog-loading" aria-busy="true">
          <${Skeleton} width="60%" /><${Skeleton} width="85%" /><${Skeleton} width="40%" />
        </div>`
      : html`<div class="dialog-problem" role="alert">
          <p>${errorSentence(error.value)}</p>
          <${Button} icon="retry" onClick=${start}>${t("action.tryAgain")}</${Button}>
        </div>`;
  return { value: value.value, placeholder };
}
