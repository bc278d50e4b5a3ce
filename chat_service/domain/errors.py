"""The one tree of errors: each knows its stable code, its HTTP status and whether a retry helps.

Services and adapters raise these; `routes.problems` is the only place that renders them, as problem
documents for REST, as error frames and as close codes for sockets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ChatError(Exception):
    """Anything the service says no with. `detail` is one sentence for people, `code` is for programs."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default: ClassVar[str] = "Something went wrong on the server."

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_s: float | None = None,
        errors: Sequence[Mapping[str, object]] | None = None,
    ) -> None:
        self.detail = detail or self.default
        self.retry_after_s = retry_after_s
        self.errors = errors
        super().__init__(self.detail)


class Internal(ChatError):
    """A defect of the service; the traceback is in the log under the request id."""


class InvalidRequest(ChatError):
    code, status, default = "invalid_request", 422, "The request is not valid."


class InvalidFrame(ChatError):
    code, status, default = "invalid_frame", 422, "The frame is not a JSON object with a known type."


class InvalidCursor(ChatError):
    code, status, default = "invalid_cursor", 400, "The cursor is not one that this server gave out."


class Unauthenticated(ChatError):
    code, status, default = "unauthenticated", 401, "A valid access token is required."


class InvalidCredentials(ChatError):
    code, status, default = "invalid_credentials", 401, "The name or the password is wrong."


class TokenExpired(ChatError):
    code, status, default = "token_expired", 401, "The token has expired."


class SessionRevoked(ChatError):
    code, status, default = "session_revoked", 401, "The session has ended."


class AccountDisabled(ChatError):
    code, status, default = "account_disabled", 403, "The account is not active."


class RegistrationClosed(ChatError):
    code, status, default = "registration_closed", 403, "New accounts are created by an administrator."


class Forbidden(ChatError):
    code, status, default = "forbidden", 403, "You may not do this."


class Blocked(ChatError):
    code, status, default = "blocked", 403, "One of you has blocked the other."


class NotFound(ChatError):
    code, status, default = "not_found", 404, "There is no such thing, or it is not visible to you."


class MethodNotAllowed(ChatError):
    code, status, default = "method_not_allowed", 405, "This address does not answer that method."


class Conflict(ChatError):
    code, status, default = "conflict", 409, "The request does not fit the present state."


class UsernameTaken(ChatError):
    code, status, default = "username_taken", 409, "This username is taken."


class EmailTaken(ChatError):
    code, status, default = "email_taken", 409, "This e-mail address is in use."


class ClientMessageIdConflict(ChatError):
    code, status = "client_message_id_conflict", 409
    default = "This client_message_id was first used with another message."


class ResyncRequired(ChatError):
    """The chat stands at `version`."""

    code, status, default = "resync_required", 409, "Read the chat afresh; its changes cannot be continued."

    def __init__(self, detail: str | None = None, *, version: int = 0, **more: Any) -> None:
        super().__init__(detail, **more)
        self.version = version


class StaleVersion(ChatError):
    code, status, default = "stale_version", 412, "The message has been changed since you read it."


class TooLarge(ChatError):
    code, status, default = "too_large", 413, "The request is larger than the server accepts."


class UnsupportedMediaType(ChatError):
    code, status, default = "unsupported_media_type", 415, "Send JSON with the content type application/json."


class RateLimited(ChatError):
    code, status, retryable, default = "rate_limited", 429, True, "Too many requests; wait and try again."


class Unavailable(ChatError):
    """The outcome may be unknown: the retry with the same key settles it."""

    code, status, retryable = "unavailable", 503, True
    default = "A store does not answer; try again with the same key."


def every_error() -> dict[str, type[ChatError]]:
    """All codes with their classes, for the documents and the tests that compare them."""
    found: dict[str, type[ChatError]] = {"internal": Internal}
    for cls in ChatError.__subclasses__():
        found.setdefault(cls.code, cls)
    return found
