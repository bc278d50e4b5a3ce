/** Who may do what in a group, as the server decides it; here it decides which actions are offered. */

/** @typedef {import("../../sdk/types.js").Role} Role */

/** @param {Role} mine */
export function mayManage(mine) {
  return mine !== "member";
}

/** @param {Role} mine @param {Role} theirs */
export function mayRemove(mine, theirs) {
  return theirs !== "owner" && (mine === "owner" || (mine === "admin" && theirs === "member"));
}

/**
 * The roles that one may give to another person.
 *
 * @param {Role} mine
 * @param {Role} theirs
 * @returns {Role[]}
 */
export function rolesToGive(mine, theirs) {
  if (mine === "owner") return theirs === "admin" ? ["owner", "member"] : ["owner", "admin"];
  return mine === "admin" && theirs === "member" ? ["admin"] : [];
}
