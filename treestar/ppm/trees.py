"""Search trees as training data: reads folders of trees one by one, and counts the outcomes below each node.

A file that is not a complete tree is skipped and reported, never partly used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from treestar.search import Node, Tree
from treestar.storage.tree_files import tree_files, tree_texts

__all__ = ["Outcomes", "SkipReason", "SkippedTree", "TreeFolder", "is_judged", "outcomes", "read_trees", "skip_reason"]

SkipReason = Literal["unreadable", "unjudged", "one outcome", "no pair"]
"""Why a tree gives no pairs: it is not complete; an answer in it was never compared with the gold answer; no answer
was right, or none was wrong; or no right branch has a higher Q than a wrong one."""


@dataclass(frozen=True, slots=True)
class SkippedTree:
    """A skipped tree, and the reason."""

    name: str
    """The file (with the line or row if it holds several trees), or the problem's id."""
    reason: SkipReason
    detail: str = ""


@dataclass(eq=False)
class TreeFolder:
    """The trees in a folder. Iterating reads them, one in memory at a time, in the order of their paths."""

    path: Path
    skipped: list[SkippedTree] = field(default_factory=list)
    """The trees that the latest iteration could not read so far."""

    def __iter__(self) -> Iterator[Tree]:
        self.skipped.clear()
        for file in tree_files(self.path):
            name = file.relative_to(self.path).as_posix() if file != self.path else file.name
            try:
                for place, text in tree_texts(file):
                    yield from self.parse(text, f"{name}, {place}" if place else name)
            except (OSError, ValueError) as error:
                self.skipped.append(SkippedTree(name, "unreadable", str(error)))

    def parse(self, text: str | bytes, name: str) -> Iterator[Tree]:
        try:
            data = json.loads(text)
            tree = Tree.from_json(data)
            check_tree(tree, [fields["parent"] for fields in data["nodes"]])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            self.skipped.append(SkippedTree(name, "unreadable", f"{type(error).__name__}: {error}"))
        else:
            yield tree


def read_trees(path: str | Path) -> TreeFolder:
    """The trees in `path` and the folders below it.

    Args:
        path: a folder of .json files (one tree each), .jsonl files (one tree per line) and .parquet files (one tree per
            row, in the column `tree`), or one such file; or the folder of an evolve job or of one of its rounds, whose
            tables named `trees` are read, including the rows that are not in a shard yet.

    Returns:
        An iterable of `Tree`; afterward its `skipped` lists the damaged, truncated or invalid trees.

    Raises:
        TreestarError: `path` does not contain such a file. While iterating: a file is in Parquet, and pyarrow is not
            installed.
    """
    tree_files(path)
    return TreeFolder(Path(path))


def check_tree(tree: Tree, parents: list[int | None]) -> None:
    """Raise ValueError unless `tree` is a complete tree with the statistics that pairs are made from."""
    problem = tree.problem
    check("problem", all(isinstance(each, str) for each in (problem.question, problem.id)))
    check("parent", parents[:1] == [None] and all(parent is not None and parent >= 0 for parent in parents[1:]))
    for node in tree.nodes:
        check("visits", isinstance(node.visits, int) and node.visits >= 0)
        check("value_sum", is_number(node.value_sum))
        check("score", node.score is None or is_number(node.score))
        check("correct", node.correct in (None, True, False))
        check("text", node.step is None or all(isinstance(each, str) for each in (node.step.text, node.step.code)))
        check("output", isinstance(node.execution.output, str))


def check(name: str, is_right: bool) -> None:
    if not is_right:
        raise ValueError(f"{name!r} has an invalid value")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


@dataclass(slots=True)
class Outcomes:
    """The outcomes of the finished trajectories at or below a node."""

    correct: int = 0
    """Number of trajectories with a right answer."""
    wrong: int = 0
    """Number of trajectories with a wrong answer."""
    unanswered: int = 0
    """Number of trajectories without an answer, or with one that was not reproduced when they were run again."""

    @property
    def ended(self) -> int:
        return self.correct + self.wrong + self.unanswered

    @property
    def success_rate(self) -> float:
        """The share of right answers among the trajectories that ended, in [0, 1].

        Raises:
            ZeroDivisionError: none has ended.
        """
        return self.correct / self.ended


def outcomes(tree: Tree) -> list[Outcomes]:
    """For each node of `tree`, in the order of `tree.nodes`, the outcomes at or below it."""
    found = [Outcomes() for _ in tree.nodes]
    for node in reversed(tree.nodes):  # children come after their parents
        here = found[node.index]
        if node.terminal not in (None, "rejected"):
            here.correct += is_judged(node) and node.correct is True
            here.wrong += is_judged(node) and node.correct is False
            here.unanswered += node.terminal != "answer"
        if node.parent is not None:
            above = found[node.parent.index]
            above.correct += here.correct
            above.wrong += here.wrong
            above.unanswered += here.unanswered
    return found


def is_judged(node: Node) -> bool:
    """Whether a trajectory ends at `node` with an answer that was compared with the gold answer."""
    return node.terminal == "answer" and node.correct is not None


def skip_reason(tree: Tree) -> SkipReason | None:
    """The reason why `tree` cannot give pairs, according to its outcomes, or None."""
    answers = [node for node in tree.terminals() if node.terminal == "answer"]
    if not all(is_judged(node) for node in answers):
        return "unjudged"
    if len({node.correct for node in answers}) < 2:
        return "one outcome"
    return None
