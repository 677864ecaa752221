"""Paths of the tests' data: in the repository, and in a folder next to it that not every checkout has."""

from pathlib import Path

import pytest

__all__ = ["CASES", "DATA", "SHARED", "needs_cases", "needs_shared"]

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
CASES = SHARED.parent / "cases"


def needs_shared(name: str) -> pytest.MarkDecorator:
    """Skips a test, with a reason, if the shared data does not have a file or folder of this name."""
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"the shared data is not there: {SHARED / name}")


def needs_cases(name: str) -> pytest.MarkDecorator:
    """Skips a test, with a reason, if the collection of failing cases does not have a file of this name."""
    return pytest.mark.skipif(not (CASES / name).exists(), reason=f"the cases are not there: {CASES / name}")
