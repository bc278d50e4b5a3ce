/** Access tokens as the server makes them, with any end: so that a test need not wait for a minute to pass. */

import {createHmac} from "node:crypto";

export const SECRET = "0123456789abcdef0123456789abcdef";

/**
 * The same access token with another end, signed with the server's key.
 * @param {string} token @param {number} secondsLeft
 */
export function withEnd(token, secondsLeft) {
  const [header, payload] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  claims.exp = Math.floor(Date.now() / 1000) + secondsLeft;
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  const key = createHmac("sha256", SECRET).update("chat-service/access-token").digest();
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

/**
 * A `fetch` that gives the client access tokens which end soon; what the server answers is real otherwise.
 * @param {typeof globalThis.fetch} next @param {() => {seconds: number, said: number}|null} choose the true end and
 *   the one that the client is told; null leaves the token alone
 * @returns {typeof globalThis.fetch}
 */
export function shortening(next, choose) {
  return async (input, init) => {
    const response = await next(input, init);
    const choice = /login|refresh/.test(String(input)) && response.ok ? choose() : null;
    if (!choice) return response;
    const answer = await response.json();
    const changed = {...answer, access_token: withEnd(answer.access_token, choice.seconds), expires_in: choice.said};
    return new Response(JSON.stringify(changed), {status: 200, headers: response.headers});
  };
}
