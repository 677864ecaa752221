"""The searches of one round: every training problem, then again, with new seeds, those that are still unsolved.

Each finished tree is vetted and stored immediately, so a killed process loses only the running searches.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from treestar.components import open_components
from treestar.policy import LanguageModelPolicy
from treestar.policy.models import Dtype
from treestar.policy.wrapped import WrappedPolicy
from treestar.ppm.trees import outcomes
from treestar.search import SearchResult, Tree, search_one
from treestar.search.tree import stored_trees
from treestar.selfevolve.backends import Backends
from treestar.selfevolve.bound import exploring, resample_for
from treestar.selfevolve.job import RoundConfig, SelectionConfig
from treestar.selfevolve.problems import cell_of
from treestar.selfevolve.selection import Difficulty, counted, difficulty
from treestar.selfevolve.vetting import vet
from treestar.storage.table import Row, Schema, Table, timed_appending
from treestar.types import Policy, Problem, Proposal, Sampling, State
from treestar.workers import Worker, Workers

__all__ = [
    "TREES",
    "RoundSearch",
    "SearchTask",
    "difficulties_of",
    "open_search_worker",
    "search_report",
    "search_round",
    "tree_row",
    "trees_of",
]

TREES = Schema(
    "trees",
    {
        "round": "int64",
        "problem_id": "string",
        "cell": "string",
        "question": "string",
        "answer": "string",
        "kind": "string",
        "metadata": "string",
        "seed": "int64",
        "attempt": "int64",
        "solved": "bool",
        "right": "int64",
        "ended": "int64",
        "false_positives": "int64",
        "rollouts": "int64",
        "generated_tokens": "int64",
        "scored_tokens": "int64",
        "judged_tokens": "int64",
        "executions": "int64",
        "seconds": "float64",
        "wall_seconds": "float64",
        "generation_seconds": "float64",
        "execution_seconds": "float64",
        "tree": "string",
    },
    key=("problem_id", "seed"),
    added={"judged_tokens": 0},
)
"""One row per search. `attempt` is 0 for the search of every problem, then 1, 2, ... for the escalations. `right` and
`ended` count trajectories. `seconds` is the duration of the search, concurrent with others. `wall_seconds` is the time
since the round's previous row. `generation_seconds` is the time that the worker's policy was busy since the worker's
previous row, so on a cluster the sum is over all actors. `tree` is the tree's JSON text."""

SEEDS_OF_A_ROUND = 100


@dataclass(frozen=True, slots=True)
class SearchTask:
    """One problem, searched for the first time or in an escalation."""

    attempt: int
    problem: Problem


@dataclass(frozen=True)
class RoundSearch:
    """The settings of a round's searches."""

    number: int
    config: RoundConfig
    selection: SelectionConfig
    seed: int
    """The job's."""

    def tree_seed(self, attempt: int) -> int:
        """A different seed for each job seed, round and attempt."""
        return (self.seed * SEEDS_OF_A_ROUND + self.number) * SEEDS_OF_A_ROUND + attempt


async def search_round(
    search: RoundSearch,
    problems: Sequence[Problem],
    workers: Workers[SearchTask, Row],
    trees: Table,
    on_attempt: Callable[[int | None, int, int, int], None],
    on_tree: Callable[[Row], None],
) -> None:
    """Search `problems`, and the unsolved ones again for each escalation, into `trees`. Existing rows are not searched
    again.

    Args:
        workers: opened with `open_search_worker` for the same `search`.
        on_attempt: called before an attempt with its rollouts, its number of problems, and the numbers of those already
            searched and solved.
        on_tree: called with each new row.

    Raises:
        TreestarError: a model or the sandbox failed permanently, or a row cannot be written. Stored rows are kept.
    """
    for attempt, config in enumerate(search.config.attempts()):
        solved = {row["problem_id"] for row in trees.rows(["problem_id", "solved"]) if row["solved"]}
        seed = search.tree_seed(attempt)
        wanted = problems if attempt == 0 else [problem for problem in problems if problem.id not in solved]
        missing = [problem for problem in wanted if (problem.id, seed) not in trees]
        searched = {row["problem_id"] for row in trees.rows(["problem_id", "seed"]) if row["seed"] == seed}
        on_attempt(config.max_rollouts, len(searched) + len(missing), len(searched), len(searched & solved))
        await workers.run([SearchTask(attempt, problem) for problem in missing], timed_appending(trees, on_tree))
    trees.seal()


@asynccontextmanager
async def open_search_worker(
    search: RoundSearch, backends: Backends, policy: str, ppm: str | None, dtype: Dtype | None
) -> AsyncIterator[Worker[SearchTask, Row]]:
    """A worker that searches problems and vets their trees, with models given by name."""
    attempts, explorations = search.config.attempts(), search.config.explorations()
    async with open_components(backends.components(policy, ppm, dtype)) as own:
        loaded = cast(LanguageModelPolicy, own.policy)
        clock = GenerationClock(loaded)
        resample = resample_for(loaded, explores=any(explorations))

        async def policy_for(task: SearchTask, seed: int) -> Policy:
            exploration = explorations[task.attempt]
            if resample is None or exploration is None or not exploration.is_for(cell_of(task.problem)):
                return clock
            return await exploring(clock, task.problem, exploration, resample, search.selection.instances, seed)

        async def work(task: SearchTask) -> Row:
            seed = search.tree_seed(task.attempt)
            components = replace(own, policy=await policy_for(task, seed))
            result = await search_one(task.problem, attempts[task.attempt], components, seed)
            assert result.tree is not None
            discarded = await vet(result.tree, components, search.selection, resample)
            return tree_row(search.number, task.attempt, result, discarded, clock.take())

        yield Worker(work, {"policy": loaded.name})


def tree_row(number: int, attempt: int, result: SearchResult, discarded: int, generation_seconds: float) -> Row:
    """The row of a search, without its `wall_seconds`."""
    tree, problem, stats = result.tree, result.problem, result.stats
    assert tree is not None
    found = outcomes(tree)[0]
    return {
        "round": number,
        "problem_id": problem.id,
        "cell": cell_of(problem),
        "question": problem.question,
        "answer": problem.answer,
        "kind": problem.kind,
        "metadata": json.dumps(problem.metadata),
        "seed": tree.seed,
        "attempt": attempt,
        "solved": found.correct > 0,
        "right": found.correct,
        "ended": found.ended,
        "false_positives": discarded,
        "rollouts": stats.rollouts,
        "generated_tokens": stats.generated_tokens,
        "scored_tokens": stats.scored_tokens,
        "judged_tokens": stats.judged_tokens,
        "executions": stats.executions,
        "seconds": stats.seconds,
        "generation_seconds": generation_seconds,
        "execution_seconds": stats.executed_seconds,
        "tree": json.dumps(tree.to_json(), allow_nan=False),
    }


def trees_of(round_folder: Path) -> Iterator[Tree]:
    """The trees of a round, one in memory at a time."""
    return map(Tree.from_json, stored_trees(round_folder / TREES.name))


def difficulties_of(table: Table, config: SelectionConfig) -> dict[str, Difficulty]:
    """The difficulty of each problem of a round, over all its searches."""
    right: defaultdict[str, int] = defaultdict(int)
    ended: defaultdict[str, int] = defaultdict(int)
    for row in table.rows(["problem_id", "right", "ended"]):
        right[row["problem_id"]] += row["right"]
        ended[row["problem_id"]] += row["ended"]
    return {problem_id: difficulty(right[problem_id], ended[problem_id], config) for problem_id in right}


def search_report(table: Table, config: SelectionConfig, solved_before: Iterable[str]) -> dict[str, Any]:
    """The results and the cost of a round's searches.

    Args:
        solved_before: the problems that earlier rounds solved.
    """
    difficulties = difficulties_of(table, config)
    cells: dict[str, dict[str, int]] = {}
    sums: dict[str, float] = dict.fromkeys(SUMMED, 0)
    attempts: defaultdict[int, dict[str, int]] = defaultdict(lambda: {"searches": 0, "solved": 0})
    of_problem: dict[str, str] = {}
    counted_columns = [name for name in TREES.columns if name not in ("tree", "question", "answer", "metadata")]
    for row in table.rows(counted_columns):
        of_problem[row["problem_id"]] = row["cell"]
        attempts[row["attempt"]]["searches"] += 1
        attempts[row["attempt"]]["solved"] += row["solved"]
        for name in SUMMED:
            sums[name] += row[name]
    for problem_id, cell in sorted(of_problem.items(), key=lambda each: (each[1], each[0])):
        counts = cells.setdefault(cell, {"problems": 0, "solved": 0})
        counts["problems"] += 1
        counts["solved"] += difficulties[problem_id] != "unsolved"
    solved = {problem_id for problem_id, found in difficulties.items() if found != "unsolved"}
    return {
        "problems": len(difficulties),
        "solved": len(solved),
        "solved_first": len(solved - set(solved_before)),
        "by_difficulty": counted(difficulties),
        "by_cell": cells,
        "by_attempt": [attempts[attempt] for attempt in sorted(attempts)],
        **{name: sums[name] for name in SUMMED if name != "wall_seconds"},
        "seconds": sums["wall_seconds"],
    }


SUMMED = (
    "rollouts",
    "generated_tokens",
    "scored_tokens",
    "judged_tokens",
    "executions",
    "false_positives",
    "wall_seconds",
    "generation_seconds",
    "execution_seconds",
)


class GenerationClock(WrappedPolicy):
    """A policy that measures its busy time: the time with at least one running request for steps."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.requests = 0
        self.since = 0.0
        self.seconds = 0.0

    def take(self) -> float:
        """The busy seconds since the last call."""
        now = time.perf_counter()
        seconds = self.seconds + (now - self.since if self.requests else 0.0)
        self.since, self.seconds = now, 0.0
        return seconds

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        if not self.requests:
            self.since = time.perf_counter()
        self.requests += 1
        try:
            return await self.policy.propose(state, n, sampling, seed)
        finally:
            self.requests -= 1
            if not self.requests:
                self.seconds += time.perf_counter() - self.since
