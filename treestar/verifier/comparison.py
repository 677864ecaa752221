"""Whether two answers mean the same, worked out with math-verify and sympy. Runs in the worker process only."""

from __future__ import annotations

import logging

__all__ = ["answers_equal", "warm_up"]


def warm_up() -> None:
    """Import and exercise what comparisons need, so that forked children find it loaded."""
    logging.disable(logging.CRITICAL)
    answers_equal("\\frac{1}{2}", "0.5 x")


def answers_equal(first: str, second: str) -> bool:
    """Whether two answers mean the same; symmetric."""
    from math_verify import parse, verify

    left, right = (
        parse(text if "$" in text or "\\boxed" in text else f"${text}$", parsing_timeout=None)
        for text in (first, second)
    )
    return bool(verify(left, right, timeout_seconds=None) or verify(right, left, timeout_seconds=None))
