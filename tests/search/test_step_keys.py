"""Which steps of one state count as the same."""

from __future__ import annotations

import pytest

from treestar.search.same_steps import merge_duplicates
from treestar.types import Step


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        ("math", ["First add.", "  First add.\n", "\n\nFirst add."], [[0, 1, 2]]),
        ("code", ["    return 1\n\n", "return 1", "\n    return 1"], [[0, 2], [1]]),
    ],
)
def test_indentation_counts_in_programs_and_not_in_prose(
    kind: str, texts: list[str], expected: list[list[int]]
) -> None:
    assert list(merge_duplicates([Step(text) for text in texts], kind).values()) == expected
