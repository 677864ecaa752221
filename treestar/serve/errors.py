"""Error responses in the format of OpenAI's API."""

from __future__ import annotations

from typing import Any

__all__ = ["RequestError", "invalid", "server_error"]

TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
"""OpenAI's error type by HTTP status; other statuses below 500 are client errors, the rest server errors."""


class RequestError(Exception):
    """A request that is answered with an error.

    Args:
        status: the HTTP status.
        param: the field of the request that caused it.
        code: OpenAI's code of this error, if any.
        retry_after: seconds after which to try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def to_json(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> RequestError:
    """A client error: 400."""
    return RequestError(400, message, param, code)


def server_error() -> RequestError:
    """A server error: 500. The reason is in the log, not in the response."""
    return RequestError(500, "the search failed; see the server's log")
