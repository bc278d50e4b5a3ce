/** The server's rule for passwords, so that too short a one needs no round trip. */

export const LEAST_PASSWORD_CHARS = 8;
