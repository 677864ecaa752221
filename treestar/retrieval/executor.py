"""Retrieval as execution: the "code" of a step is a query, and its output the paragraphs that are found.

So every search strategy works on retrieval as it works on code: a snapshot holds the paragraphs that a path has seen,
and siblings find theirs independently.
"""

from __future__ import annotations

import asyncio
import time

from treestar.retrieval.corpus import Paragraph, shown
from treestar.retrieval.retriever import Retriever
from treestar.types import Execution, Interpreter, Snapshot

__all__ = ["RetrievalExecutor", "RetrievalInterpreter"]


class RetrievalExecutor:
    """The `Executor` for the step format `retrieval`.

    Args:
        retriever: finds the paragraphs.
        top_k: paragraphs that a query finds.
        max_paragraphs: maximum number of paragraphs on one path; later ones are not shown.
    """

    def __init__(self, retriever: Retriever, top_k: int = 4, max_paragraphs: int = 15) -> None:
        self.retriever = retriever
        self.top_k = top_k
        self.max_paragraphs = max_paragraphs

    async def open(self) -> Interpreter:
        return RetrievalInterpreter(self)

    async def close(self) -> None:
        """Nothing to stop."""


class RetrievalInterpreter:
    """Answers the queries of one tree. Paragraphs that a path has seen are not shown to it again."""

    def __init__(self, executor: RetrievalExecutor) -> None:
        self.executor = executor
        self.seen: list[tuple[Paragraph, ...]] = []
        """The paragraphs of each snapshot."""

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        """The paragraphs that the query `code` finds and the path to `parent` has not seen, as a policy reads them."""
        seen = () if parent is None else self.seen[parent]
        started = time.perf_counter()
        found = await asyncio.to_thread(self.executor.retriever.search, code, self.executor.top_k)
        new = [each for each in found if each not in seen][: self.executor.max_paragraphs - len(seen)]
        self.seen.append((*seen, *new))
        return Execution(
            output="\n\n".join(map(shown, new)),
            snapshot=Snapshot(len(self.seen) - 1),
            seconds=time.perf_counter() - started,
        )

    async def close(self) -> None:
        self.seen.clear()
