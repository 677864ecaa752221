"""What a client is told instead of an answer, in the form of OpenAI's API."""

from __future__ import annotations

from typing import Any

__all__ = ["RequestError", "invalid", "server_error"]

TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
"""OpenAI's name for an error by its HTTP status; others are the client's below 500 and the server's from there on."""


class RequestError(Exception):
    """A request that gets an error for an answer.

    Args:
        status: the HTTP status.
        param: the field of the request that is to blame.
        code: OpenAI's name for this very error, where it has one.
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
    """The client's fault: 400."""
    return RequestError(400, message, param, code)


def server_error() -> RequestError:
    """The server's fault: 500; what happened stands in its log, not in the answer."""
    return RequestError(500, "the search failed; the server's log says why")
