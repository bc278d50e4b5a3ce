/** The one error of this package: a refusal of the service, or `network` where there was no answer. */

/** Codes that say nothing about the request itself: the same one may succeed later. */
const TRANSIENT = new Set([
  "network", "rate_limited", "unavailable", "internal", "unauthenticated", "token_expired", "session_revoked",
  "account_disabled",
]);
/** Codes that mean that nobody is signed in any more. */
const SIGNED_OUT = new Set(["unauthenticated", "token_expired", "session_revoked", "account_disabled"]);

/** What a proxy in between may answer without a code. @type {Record<number, string>} */
const BY_STATUS = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 413: "too_large", 429: "rate_limited"};

/** @typedef {{field: string, message: string}} FieldError */

export class ChatError extends Error {
  /**
   * @param {string} code one of docs/protocol.md, section 4, or `network`
   * @param {{status?: number, detail?: string, errors?: FieldError[], retryAfterMs?: number|null,
   *   requestId?: string|null}} [about]
   */
  constructor(code, about = {}) {
    super(about.detail || code);
    this.name = "ChatError";
    this.code = code;
    /** HTTP status; 0 where there was none. */
    this.status = about.status ?? 0;
    /** A sentence in English, for logs. */
    this.detail = about.detail ?? "";
    /** The single fields that are wrong. @type {FieldError[]} */
    this.errors = about.errors ?? [];
    /** How long to wait, where the service said so. @type {number|null} */
    this.retryAfterMs = about.retryAfterMs ?? null;
    /** @type {string|null} */
    this.requestId = about.requestId ?? null;
  }

  /** Whether the same request may succeed later. */
  get isTransient() {
    return TRANSIENT.has(this.code);
  }

  /** Whether it means that the session is over. */
  get endsSession() {
    return SIGNED_OUT.has(this.code);
  }

  /** @internal @returns {{code: string, status: number, detail: string}} */
  toRecord() {
    return {code: this.code, status: this.status, detail: this.detail};
  }

  /** @internal @param {Response} response @param {any} body */
  static ofResponse(response, body) {
    const {status, headers} = response;
    const retryAfter = Number(headers.get("retry-after"));
    return new ChatError(body?.code ?? BY_STATUS[status] ?? (status >= 502 ? "unavailable" : "internal"), {
      status,
      detail: body?.detail,
      errors: body?.errors,
      retryAfterMs: retryAfter > 0 ? retryAfter * 1000 : null,
      requestId: body?.request_id ?? headers.get("x-request-id"),
    });
  }

  /** @internal @param {import("./types.js").Frame} frame an `error` reply */
  static ofFrame(frame) {
    return new ChatError(frame.code, {detail: frame.detail, retryAfterMs: frame.retry_after_ms});
  }
}

/** Any failure as a `ChatError`. @param {unknown} error @returns {ChatError} */
export function asChatError(error) {
  return error instanceof ChatError ? error : new ChatError("internal", {detail: String(error)});
}
