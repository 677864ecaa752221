"""Where the tests' data is: in the repository, and in a folder beside it that not every checkout has."""

from pathlib import Path

import pytest

__all__ = ["DATA", "SHARED", "needs_shared"]

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"


def needs_shared(name: str) -> pytest.MarkDecorator:
    """Skips a test, with a sentence, where the shared data has no file or folder of this name."""
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"the shared data is not there: {SHARED / name}")
