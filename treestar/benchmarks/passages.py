"""What steps find in a benchmark with retrieval: paragraphs of a question, of its whole data set, or of an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from treestar.benchmarks.datasets import ProblemSet
from treestar.retrieval import (
    BM25Retriever,
    Paragraph,
    RetrievalConfig,
    RetrievalExecutor,
    Retriever,
    open_index,
    paragraphs_of,
    pooled_paragraphs,
)
from treestar.types import Executor, Problem, TreestarError

__all__ = ["Passages", "passages_for"]


@dataclass(frozen=True)
class Passages:
    """The corpora of a run. Holds paragraphs and names only, so that it can be sent to another process."""

    config: RetrievalConfig
    pools: Mapping[str, tuple[Paragraph, ...]]
    """In the pooled setting: the paragraphs of each data set."""

    def open(self) -> Callable[[str, Problem], Executor]:
        """A function that gives the executor for a problem of a data set. Indexes are made when they are first used.

        Raises:
            TreestarError: there is no index in the folder of the configuration.
        """
        config = self.config
        stored = None if config.retriever == "bm25" else open_index(Path(config.retriever))
        pooled = cache(lambda dataset: BM25Retriever(self.pools[dataset]))

        def executor_of(dataset: str, problem: Problem) -> Executor:
            retriever: Retriever
            if stored is not None:
                retriever = stored
            elif config.setting == "pooled":
                retriever = pooled(dataset)
            else:
                retriever = BM25Retriever(paragraphs_of(problem))
            return RetrievalExecutor(retriever, config.paragraphs, config.max_paragraphs)

        return executor_of

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.config), "pool_sizes": {name: len(pool) for name, pool in self.pools.items()}}


def passages_for(sets: Sequence[ProblemSet], config: RetrievalConfig) -> tuple[list[ProblemSet], Passages, int]:
    """The data sets without the questions that have no paragraphs, where paragraphs come with the questions; the
    corpora; and how many questions were left out.

    Raises:
        TreestarError: no question of a set has paragraphs.
    """
    if config.retriever != "bm25":
        return list(sets), Passages(config, {}), 0
    kept = []
    for each in sets:
        problems = tuple(problem for problem in each.problems if problem.metadata.get("paragraphs"))
        if not problems:
            raise TreestarError(
                f"no question of {each.name} comes with paragraphs: index a corpus with `treestar retrieval index`, "
                "and give its folder as --retriever"
            )
        kept.append(replace(each, problems=problems))
    pools = {each.name: tuple(pooled_paragraphs(each.problems)) for each in kept}
    left_out = sum(len(each.problems) for each in sets) - sum(len(each.problems) for each in kept)
    return kept, Passages(config, pools if config.setting == "pooled" else {}), left_out
