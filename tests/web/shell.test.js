/** The pure parts of the shell: what addresses mean, and who may do what in a group. */

import "./import-map.js";
import assert from "node:assert/strict";
import { test } from "node:test";

const { parsePath, paths } = await import("../../chat_service/web/app/routes.js");
const { isGoodPassword } = await import("../../chat_service/web/app/account/passwords.js");
const { mayRemove, rolesToGive } = await import("../../chat_service/web/app/details/rules.js");

test("a new password has 8 to 128 characters, each emoji one", () => {
  for (const good of ["12345678", "👍".repeat(128)]) assert.equal(isGoodPassword(good), true, good);
  for (const wrong of ["", "1234567", "👍".repeat(7), "x".repeat(129)]) assert.equal(isGoodPassword(wrong), false, wrong);
});

test("an address that the client writes is understood by it", () => {
  assert.deepEqual(parsePath(paths.chat(7)), { name: "chat", chatId: 7, details: false });
  assert.deepEqual(parsePath(paths.chatDetails(7)), { name: "chat", chatId: 7, details: true });
  assert.deepEqual(parsePath(paths.settings("devices")), { name: "settings", section: "devices" });
  assert.deepEqual(parsePath(paths.home()), { name: "home" });
  const [path, query] = paths.signIn("/chats/7/details").split("?");
  assert.deepEqual(parsePath(path, `?${query}`), { name: "sign-in", next: "/chats/7/details" });
});

test("a hand-edited address is a known place or none", () => {
  for (const path of ["/chats/0", "/chats/-1", "/chats/07", "/chats/x", "/chats/9007199254740993", "/settings/x", "//x"]) {
    assert.deepEqual(parsePath(path), { name: "unknown" }, path);
  }
  assert.deepEqual(parsePath("/chats/7//"), { name: "chat", chatId: 7, details: false });
});

test("signing in leads nowhere but to places of the client", () => {
  for (const next of ["//evil.example", "https://evil.example/chats/7", "/signup", "/\\evil.example", "javascript:alert(1)", ""]) {
    assert.deepEqual(parsePath("/signin", `?next=${encodeURIComponent(next)}`), { name: "sign-in", next: null }, next);
  }
});

test("roles are offered as the server gives them", () => {
  assert.deepEqual(rolesToGive("owner", "member"), ["owner", "admin"]);
  assert.deepEqual(rolesToGive("owner", "admin"), ["owner", "member"]);
  assert.deepEqual(rolesToGive("admin", "member"), ["admin"]);
  assert.deepEqual(rolesToGive("admin", "admin"), []);
  assert.deepEqual(rolesToGive("member", "member"), []);
  assert.equal(mayRemove("admin", "admin"), false);
  assert.equal(mayRemove("owner", "admin"), true);
  assert.equal(mayRemove("admin", "owner"), false);
});
