/** Refusals as sentences: every code of the service has one, and wrong fields have theirs. No code is ever shown. */

import { hasText, t } from "./i18n.js";

/**
 * The sentence for whatever a call of the client threw.
 *
 * @param {unknown} error a ChatError, or a defect of this program
 * @param {string} [occasion] a narrower sentence is taken where there is one: `error.<code>.<occasion>`
 */
export function errorSentence(error, occasion) {
  const { code, retryAfterMs } = /** @type {{code?: string, retryAfterMs?: number | null}} */ (error ?? {});
  if (code === undefined) console.error(error);
  const key = `error.${code ?? "internal"}`;
  if (code === "rate_limited" && retryAfterMs) {
    return t("error.rate_limited.wait", { count: Math.ceil(retryAfterMs / 1000) });
  }
  if (occasion && hasText(`${key}.${occasion}`)) return t(`${key}.${occasion}`);
  return hasText(key) ? t(key) : t("error.internal");
}

/**
 * The sentences for the fields of a form.
 *
 * @param {unknown} error
 * @param {readonly string[]} fields names of the fields that the form has
 * @returns {Record<string, string>} empty where the refusal is about none of them
 */
export function fieldErrors(error, fields) {
  const { code, errors } = /** @type {{code?: string, errors?: {field: string}[] | null}} */ (error ?? {});
  if (code === "username_taken") return { username: t("error.username_taken") };
  if (code === "email_taken") return { email: t("error.email_taken") };
  const wrong = /** @type {Record<string, string>} */ ({});
  for (const { field } of errors ?? []) {
    if (fields.includes(field)) wrong[field] = t(`field.${field}.wrong`);
  }
  return wrong;
}
