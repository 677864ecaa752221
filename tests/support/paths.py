"""Paths of the tests' data: in the repository, and in a folder next to it that not every checkout has."""

from pathlib import Path

import pytest

__all__ = ["DATA", "SHARED", "needs_shared"]

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"


def needs_shared(name: str) -> pytest.MarkDecorator:
    """Skips a test, with a reason, if the shared data does not have a file or folder of this name."""
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"the shared data is not there: {SHARED / name}")
