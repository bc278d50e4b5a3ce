/** The server's rule for new passwords, so that a wrong one needs no round trip. */

const LEAST_CHARS = 8;
const MOST_CHARS = 128;

/** Counted in code points, as the server counts. @param {string} password */
export function isGoodPassword(password) {
  const count = [...password].length;
  return count >= LEAST_CHARS && count <= MOST_CHARS;
}

/** For the fields: more than any password, so that none is cut without a word. */
export const PASSWORD_FIELD_CHARS = 1024;
