"""A server that speaks OpenAI's protocol: a limit on what it is asked at a time, patience while it fails, and counts.

What may pass is tried again: dropped connections, timeouts, answers that cannot be read, status 408, 409, 425, 429 and
5xx. Pauses grow exponentially, with jitter, and are never shorter than the server's Retry-After. Whatever else the
server refuses, it would refuse again. The key is never part of a message.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from treestar.config.checks import check_number, check_whole
from treestar.types import TreestarError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

__all__ = ["Refusal", "RemoteServer", "RemoteServerConfig", "UnusableAnswer"]

AnswerT = TypeVar("AnswerT")

KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_URL = "https://api.openai.com/v1"

FIRST_PAUSE = 0.5
"""Seconds before the second try; each further pause is twice as long, up to LONGEST_PAUSE."""
LONGEST_PAUSE = 30.0

PASSING_STATUS = frozenset({408, 409, 425, 429})
"""Besides 5xx: what a server answers that may well answer otherwise later."""


@dataclass(frozen=True, kw_only=True)
class RemoteServerConfig:
    """How a server is asked."""

    concurrency: int = 128
    """Most requests at the server at the same time; further ones wait for a place."""
    timeout_seconds: float = 300.0
    """A request without its whole answer after this long has failed."""
    patience_seconds: float = 600.0
    """A request that keeps failing is tried again for this long; then the run ends."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        check_whole(self, "concurrency")
        check_number(self, "timeout_seconds", "patience_seconds", above=0)


class UnusableAnswer(ValueError):
    """The server answered, but not with what the protocol says."""


class Refusal(Exception):
    """The server will not do this, however often it is asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Failure(Exception):
    """One try that failed, and may succeed when repeated.

    Args:
        kind: what such failures are counted under.
        retry_after: seconds that the server asks to wait.
    """

    def __init__(self, kind: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


class RemoteServer:
    """One server, asked by many coroutines, on one event loop at a time.

    Args:
        url: its base URL; `/v1` is added to one without a path. None: OPENAI_BASE_URL, else OpenAI's own.

    Raises:
        TreestarError: the URL or the key cannot be one, or the `openai` package is missing.
    """

    def __init__(self, url: str | None, config: RemoteServerConfig) -> None:
        self.url = base_url(url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
        self.config = config
        self.key = key_from_environment()
        self.failures: Counter[str] = Counter()
        """Tries that failed, by what happened."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the connections and the places belong."""
        self.connect()

    def connect(self) -> None:
        """A client that has no connections yet, and places for its requests."""
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise TreestarError("openai: policies need a package more: pip install 'treestar[openai]'") from error
        self.client: AsyncOpenAI = AsyncOpenAI(
            api_key=self.key or "none", base_url=self.url, max_retries=0, timeout=None
        )
        self.places = asyncio.Semaphore(self.config.concurrency)

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        self.loop = None
        await self.client.close()

    async def post(self, path: str, body: dict[str, Any], read: Callable[[Any], AnswerT]) -> AnswerT:
        """Ask until there is an answer.

        Args:
            path: below the base URL, such as "/completions".
            read: makes the result from the answer's JSON; raises UnusableAnswer for any but a complete one.

        Raises:
            Refusal: the server will not do it.
            TreestarError: the server's failures have used up the patience.
        """
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self.connect()
            self.loop = loop
        # A request that waits to be repeated keeps its place: a server in trouble is asked less.
        async with self.places:
            tries, failing_since = 0, 0.0
            while True:
                try:
                    return await self.post_once(path, body, read)
                except Failure as failure:
                    self.failures[failure.kind] += 1
                    tries += 1
                    failing_since = failing_since or time.monotonic()
                    seconds = time.monotonic() - failing_since
                    pause = max(backoff(tries), failure.retry_after)
                    if seconds + pause > self.config.patience_seconds:
                        raise self.lost(tries, seconds, failure) from None
                await asyncio.sleep(pause)

    async def post_once(self, path: str, body: dict[str, Any], read: Callable[[Any], AnswerT]) -> AnswerT:
        """Ask once. Raises Refusal, or Failure where it may pass."""
        from openai import APIConnectionError, APIStatusError

        try:
            request = self.client.post(path, cast_to=object, body=body)
            return read(await asyncio.wait_for(request, self.config.timeout_seconds))
        except APIStatusError as error:
            status, message = error.status_code, self.clean(message_of(error))
            if status < 500 and status not in PASSING_STATUS:
                raise Refusal(status, message) from None
            wanted = retry_after(error.response.headers.get("retry-after"))
            raise Failure(f"status {status}", message, wanted) from None
        except APIConnectionError as error:
            reason = error.__cause__ or error
            raise Failure("connection failed", self.clean(str(reason) or type(reason).__name__)) from None
        except asyncio.TimeoutError:
            raise Failure("timeout", f"no complete answer in {self.config.timeout_seconds:g} s") from None
        except ValueError as error:  # UnusableAnswer, or what is no JSON
            raise Failure("unusable answer", self.clean(str(error))) from None

    def lost(self, tries: int, seconds: float, last: Failure) -> TreestarError:
        asked = f", and the server asks to wait {last.retry_after:.0f} s" if last.retry_after else ""
        return TreestarError(
            f"{self.url} gives no usable answer: one request failed {tries} times in {seconds:.0f} s, the last time "
            f"with {last.kind} ({last.message}){asked}. All failures: {self.failures_text()}. What is finished stays "
            "valid; see to the server and run again"
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
    """The URL below which the paths are. Raises TreestarError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TreestarError(f"{url!r} is not the URL of a server: give one such as http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise TreestarError(f"the URL of a server must not hold a key or password: put the key into {KEY_VARIABLE}")
    return url.rstrip("/") if parts.path.strip("/") else url.rstrip("/") + "/v1"


def key_from_environment() -> str:
    """The key, or "" where there is none. Raises TreestarError for one that cannot be sent."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise TreestarError(f"{KEY_VARIABLE} holds characters that no key has: set it anew")
    return key


def backoff(tries: int) -> float:
    """Seconds to wait after that many failed tries: doubling, and a random half of it off, so that requests that
    failed together do not come back together."""
    return float(min(FIRST_PAUSE * 2 ** min(tries - 1, 30), LONGEST_PAUSE) * random.uniform(0.5, 1.0))


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 where it says nothing."""
    if header is None:
        return 0.0
    with suppress(ValueError):
        return max(float(header), 0.0)
    with suppress(ValueError, TypeError):
        return max((parsedate_to_datetime(header) - datetime.now(timezone.utc)).total_seconds(), 0.0)
    return 0.0


def message_of(error: APIStatusError) -> str:
    """What the server said; for a refused key only that, because servers like to quote a part of it."""
    if error.status_code == 401:
        return f"the key is missing or wrong: set {KEY_VARIABLE}"
    body = error.body
    said = (body.get("message") or body.get("detail")) if isinstance(body, dict) else None  # FastAPI says "detail"
    return str(said or error.message)
