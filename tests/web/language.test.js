/** The language that was asked for last is the one that is spoken, in whatever order they arrive. */

import "./import-map.js";
import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.localStorage = { getItem: () => null };
globalThis.addEventListener ??= () => {};
globalThis.document = { documentElement: { lang: "", dataset: {} } };
const { loadLanguage, locale, t } = await import("../../chat_service/web/app/i18n.js");

test("a language that arrives late does not take the place of the one that was asked for after it", async () => {
  await loadLanguage("en");
  const late = loadLanguage("vi");
  await Promise.all([late, loadLanguage("en")]);
  assert.equal(locale.value, "en");
  assert.equal(t("action.cancel"), "Cancel");
});
