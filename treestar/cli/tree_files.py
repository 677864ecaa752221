"""The option --trees of the commands that read search trees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from treestar.ppm.trees import SkippedTree
    from treestar.search import Tree

__all__ = ["TREES_HELP", "TreesOption", "read_all"]

TREES_HELP = (
    "A folder of trees (.json; .jsonl with one per line; .parquet, as in the folder of an evolve job), or such a file; "
    "can be repeated."
)

TreesOption = Annotated[list[Path], typer.Option(help=TREES_HELP, rich_help_panel="Data and output")]


def read_all(paths: Sequence[Path]) -> tuple[list[Tree], list[SkippedTree]]:
    """All trees in `paths`, and the files or lines that could not be read."""
    from treestar.ppm.trees import read_trees

    folders = [read_trees(path) for path in paths]
    trees = [tree for folder in folders for tree in folder]
    return trees, [each for folder in folders for each in folder.skipped]
