"""A server that speaks OpenAI's protocol: limited concurrency, retries while it fails, and failure counts.

Temporary failures are retried: dropped connections, timeouts, unreadable answers, status 408, 409, 425, 429 and 5xx.
Pauses grow exponentially, with jitter, and are never shorter than the server's Retry-After. Any other refusal is final.
The key is never part of a message.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from treestar.config.checks import check_number, check_whole
from treestar.extras import needs_extra
from treestar.types import TreestarError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

__all__ = ["Refusal", "RemoteServer", "RemoteServerConfig", "UnusableAnswer"]

AnswerT = TypeVar("AnswerT")

KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_URL = "https://api.openai.com/v1"

FIRST_PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long, up to LONGEST_PAUSE."""
LONGEST_PAUSE = 30.0

SLOWEST = 10
"""Tokens per second of a server that still works."""

PASSING_STATUS = frozenset({408, 409, 425, 429})
"""Temporary failures besides 5xx."""

FINAL_FAULT = re.compile(r"prefill|enable_thinking|chat template|jinja|not implemented", re.IGNORECASE)
"""What some servers report with status 500 although it would fail again: what they cannot do (llama.cpp)."""


@dataclass(frozen=True, kw_only=True)
class RemoteServerConfig:
    """How requests are sent to a server."""

    concurrency: int = 128
    """Maximum number of requests at the server at the same time; others wait."""
    timeout_seconds: float = 300.0
    """A request without a complete answer after this long has failed; a request for long answers after the time that
    they take at 10 tokens per second."""
    patience_seconds: float = 600.0
    """A request that keeps failing is retried until the server has answered none for this long; then the run ends."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        check_whole(self, "concurrency")
        check_number(self, "timeout_seconds", "patience_seconds", above=0)


class UnusableAnswer(ValueError):
    """The server answered, but not according to the protocol."""


class Refusal(Exception):
    """The server refuses the request for good."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Failure(Exception):
    """A failed attempt that may succeed when repeated.

    Args:
        kind: the name under which such failures are counted.
        retry_after: how many seconds the server asks to wait.
    """

    def __init__(self, kind: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


class RemoteServer:
    """One server, used by many coroutines, on one event loop at a time.

    Args:
        url: its base URL; `/v1` is added to one without a path. None: OPENAI_BASE_URL, else OpenAI's own.

    Raises:
        TreestarError: the URL or the key is malformed, or the `openai` package is missing.
    """

    def __init__(self, url: str | None, config: RemoteServerConfig) -> None:
        self.url = base_url(url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
        self.config = config
        self.key = key_from_environment()
        self.failures: Counter[str] = Counter()
        """Failed attempts, by kind."""
        self.answered = 0.0
        """When the server last gave an answer (`time.monotonic`)."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop to which the connections and the semaphore belong."""
        self.connect()

    def connect(self) -> None:
        """Make a client without connections, and a semaphore for its requests."""
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise needs_extra("an openai: policy", "openai") from error
        self.client: AsyncOpenAI = AsyncOpenAI(
            api_key=self.key or "none", base_url=self.url, max_retries=0, timeout=None
        )
        self.places = asyncio.Semaphore(self.config.concurrency)

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        self.loop = None
        await self.client.close()

    async def post(self, path: str, body: dict[str, Any], read: Callable[[Any], AnswerT]) -> AnswerT:
        """Send a request until there is an answer.

        Args:
            path: below the base URL, such as "/completions".
            read: makes the result from the answer's JSON; raises UnusableAnswer for an incomplete one.

        Raises:
            Refusal: the server refuses the request for good.
            TreestarError: the request kept failing, and the server has answered no other for `patience_seconds`.
        """
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self.connect()
            self.loop = loop
        # A request that waits for a retry keeps its place, so that a server in trouble gets fewer requests.
        async with self.places:
            tries, failing_since = 0, 0.0
            while True:
                try:
                    answer = await self.post_once(path, body, read)
                except Failure as failure:
                    self.failures[failure.kind] += 1
                    tries += 1
                    failing_since = failing_since or time.monotonic()
                    now = time.monotonic()
                    pause = max(backoff(tries), failure.retry_after)
                    if now - max(failing_since, self.answered) + pause > self.config.patience_seconds:
                        raise self.lost(tries, now - failing_since, failure) from None
                    self.warn_of_silence(failure)
                else:
                    self.answered = time.monotonic()
                    return answer
                await asyncio.sleep(pause)

    async def post_once(self, path: str, body: dict[str, Any], read: Callable[[Any], AnswerT]) -> AnswerT:
        """Send a request once. Raises Refusal, or Failure if it may succeed later."""
        from openai import APIConnectionError, APIStatusError

        most = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        timeout = max(self.config.timeout_seconds, most / SLOWEST)
        try:
            request = self.client.post(path, cast_to=object, body=body)
            return read(await asyncio.wait_for(request, timeout))
        except APIStatusError as error:
            status, message = error.status_code, self.clean(message_of(error))
            if (status < 500 and status not in PASSING_STATUS) or status == 501 or FINAL_FAULT.search(message):
                raise Refusal(status, message) from None
            wanted = retry_after(error.response.headers.get("retry-after"))
            raise Failure(f"status {status}", message, wanted) from None
        except APIConnectionError as error:
            reason = error.__cause__ or error
            raise Failure("connection failed", self.clean(str(reason) or type(reason).__name__)) from None
        except TimeoutError:
            raise Failure("timeout", f"no complete answer in {timeout:g} s") from None
        except ValueError as error:  # UnusableAnswer, or not JSON
            raise Failure("unusable answer", self.clean(str(error))) from None

    def warn_of_silence(self, failure: Failure) -> None:
        """Say once of a server that has never answered that it is waited for: it may not run, or elsewhere."""
        if not self.answered and self.failures.total() == 1:
            warnings.warn(
                f"{self.url} does not answer ({failure.kind}: {failure.message}); trying again for "
                f"{self.config.patience_seconds:.0f} s",
                stacklevel=2,
            )

    def lost(self, tries: int, seconds: float, last: Failure) -> TreestarError:
        asked = f", and the server asks to wait {last.retry_after:.0f} s" if last.retry_after else ""
        return TreestarError(
            f"{self.url} gives no usable answer: one request failed {tries} times in {seconds:.0f} s, the last time "
            f"with {last.kind} ({last.message}){asked}. All failures: {self.failures_text()}. What is finished stays "
            "valid; fix the server and run again"
        )

    def failures_text(self) -> str:
        """Such as "3 x status 500, 1 x timeout"; "" where nothing failed."""
        return ", ".join(f"{times} x {kind}" for kind, times in self.failures.most_common())

    def clean(self, message: str) -> str:
        """One short line, without the key."""
        line = " ".join(message.split())
        line = line.replace(self.key, "[key]") if self.key else line
        return line if len(line) <= 300 else line[:300] + " ..."


def base_url(url: str) -> str:
    """The base URL of all paths. Raises TreestarError if it is malformed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TreestarError(f"{url!r} is not the URL of a server: give one such as http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise TreestarError(f"the URL of a server must not contain a key or password: put the key into {KEY_VARIABLE}")
    return url.rstrip("/") if parts.path.strip("/") else url.rstrip("/") + "/v1"


def key_from_environment() -> str:
    """The key, or "" without one. Raises TreestarError for a key that cannot be sent."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise TreestarError(f"{KEY_VARIABLE} contains characters that a key cannot have: set it again")
    return key


def backoff(tries: int) -> float:
    """Seconds to wait after that many failed attempts: doubling, minus up to a random half, so that requests which
    failed together are not retried together."""
    return float(min(FIRST_PAUSE * 2 ** min(tries - 1, 30), LONGEST_PAUSE) * random.uniform(0.5, 1.0))


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 without one."""
    if header is None:
        return 0.0
    with suppress(ValueError):
        return max(float(header), 0.0)
    with suppress(ValueError, TypeError):
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


def message_of(error: APIStatusError) -> str:
    """What the server said; nothing more for a refused key, because servers often quote a part of it."""
    if error.status_code == 401:
        return f"the key is missing or wrong: set {KEY_VARIABLE}"
    body = error.body
    said = (body.get("message") or body.get("detail")) if isinstance(body, dict) else None  # FastAPI says "detail"
    return str(said or error.message)
