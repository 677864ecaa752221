"""Decides whether two mathematical answers are equivalent.

Identical strings and plain numbers are compared here, in microseconds and without another process. Everything else goes
to a worker process that is killed when its time is up, so every comparison takes bounded time, from any thread and for
any strings. `equivalent` is symmetric and never raises; if the time runs out, the answers count as different.
"""

from __future__ import annotations

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from treestar.types import Problem
from treestar.verifier.extraction.replies import extract_answer
from treestar.verifier.grading.grading_process import GradingPool
from treestar.verifier.notation.plain_numbers import plain_numbers_equal, read_plain_number

__all__ = ["AnswerVerifier", "equivalent", "extract_answer", "prepare"]

LONGEST_TEXT = 50_000
"""In characters; longer texts are equal only if they are identical."""
REMEMBERED_VERDICTS = 65_536
WORKERS = max(1, min(2, (os.cpu_count() or 2) // 2))

pool = GradingPool(WORKERS)
symbolic_pool = GradingPool(WORKERS, symbolic=True)
"""Started only when a comparison needs sympy."""
verdicts: dict[tuple[str, str], bool] = {}
LOOSE_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")


def equivalent(first: str, second: str, seconds: float = 1.0) -> bool:
    """Whether two answers are equivalent: `\\frac{1}{2}` and `0.5`, `(2,3]` and `2 < x \\le 3`, `5` and `x=5`.

    Symmetric, callable from any thread, never raises. An empty answer equals nothing.

    Args:
        first: an answer: bare (`\\frac12`, `1,000`), in `$...$`, in a `\\boxed{}`, or a text that ends in one.
        second: the other answer; the order does not matter.
        seconds: time limit of the symbolic comparison; after it, the answers count as different. The one-time start
            of the worker does not count.
    """
    if not isinstance(first, str) or not isinstance(second, str):
        return False  # A value that is not a string, such as a missing answer, equals nothing.
    quick = quick_verdict(first, second)
    return slow_verdict(first, second, seconds) if quick is None else quick


def prepare(first: str, second: str) -> None:
    """Start the worker if `equivalent(first, second)` needs one, so that it takes only the time of the comparison."""
    if quick_verdict(first, second) is None:
        pool.prepare()


@lru_cache(maxsize=REMEMBERED_VERDICTS)
def quick_verdict(first: str, second: str) -> bool | None:
    """The verdict if it does not need symbolic math, else None."""
    one, other = without_dollars(first), without_dollars(second)
    if not one or not other:
        return False
    if one == other:
        return True
    if len(first) > LONGEST_TEXT or len(second) > LONGEST_TEXT:
        return False
    if LOOSE_SPACE.sub("", one) == LOOSE_SPACE.sub("", other) and "," not in one:
        return True
    one_number, other_number = read_plain_number(one), read_plain_number(other)
    if one_number is not None and other_number is not None:
        return plain_numbers_equal(one_number, other_number)
    return None


def without_dollars(text: str) -> str:
    stripped = text.strip()
    if len(stripped) > 2 and stripped[0] == stripped[-1] == "$" and "$" not in stripped[1:-1]:
        return stripped[1:-1].strip()
    return stripped


def slow_verdict(first: str, second: str, seconds: float) -> bool:
    # Sort the pair, so that both orders get the same verdict and share one cache entry.
    pair = (first, second) if first <= second else (second, first)
    known = verdicts.get(pair)
    if known is not None:
        return known
    verdict = pool.ask(*pair, seconds)
    if verdict == "symbolic":
        verdict = symbolic_pool.ask(*pair, seconds)
    if not isinstance(verdict, bool):
        return False  # Not cached: on a less busy machine the time may suffice.
    if len(verdicts) >= REMEMBERED_VERDICTS:
        verdicts.clear()
    verdicts[pair] = verdict
    return verdict


class AnswerVerifier:
    """The `Verifier` for mathematical answers. Never blocks the event loop."""

    def __init__(self, seconds: float = 1.0) -> None:
        """`seconds`: time limit of one symbolic comparison."""
        self.seconds = seconds
        self.threads = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="grading")

    async def accepts(self, problem: Problem, answer: str) -> bool:
        """Whether `answer` equals the problem's gold answer. False if the problem has none."""
        return problem.answer is not None and await self.equivalent(problem.answer, answer)

    async def equivalent(self, first: str, second: str) -> bool:
        """Whether two answers are equivalent; symmetric."""
        quick = quick_verdict(first, second)
        if quick is not None:
            return quick
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, slow_verdict, first, second, self.seconds)

    async def close(self) -> None:
        """Release this verifier's threads. The worker processes are shared and end with the interpreter."""
        self.threads.shutdown(wait=False, cancel_futures=True)
