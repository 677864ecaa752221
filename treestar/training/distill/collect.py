"""Runs a teacher over questions, step by step, and keeps what it said: one trajectory per question, as Parquet.

Only trajectories whose final answer is right are trained on (StepER filters nothing else: a wrong sentence on the way
to a right answer stays). The others are stored as well, with the reason, so that nothing is asked twice and the counts
tell what was dropped. A killed run continues where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from treestar.search import Components, GreedyConfig, SearchResult, search_one
from treestar.storage.states import state_from_json, state_to_json
from treestar.storage.table import Row, Schema, Table, appending_to, valid_text
from treestar.storage.tree_files import whole_rows
from treestar.types import Problem, State, TreestarError
from treestar.verifier.grading.questions import answer_f1, best_over_golds, exactly_matches, gold_answers
from treestar.workers import LocalWorkers, Worker

__all__ = ["TRAJECTORIES", "Collected", "Verdict", "collect", "incomplete", "read_trajectories", "stored"]

Verdict = Literal["kept", "wrong", "unanswered", "no_gold"]
"""What became of a question: its trajectory is trained on; the answer is wrong; there is none; the question has no gold
answer, so the teacher was not asked."""

TRAJECTORIES = Schema(
    "trajectories",
    {
        "problem_id": "string",
        "question": "string",
        "gold": "string",
        "answer": "string",
        "verdict": "string",
        "em": "float64",
        "f1": "float64",
        "steps": "int64",
        "generated_tokens": "int64",
        "trajectory": "string",
    },
    key=("problem_id", "question"),
)
"""One row per question; `gold` and `trajectory` are JSON."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of all questions."""

    questions: int
    verdicts: dict[Verdict, int]
    steps: dict[int, int]
    """Number of kept trajectories by their number of steps."""

    def __str__(self) -> str:
        dropped = ", ".join(
            f"{self.verdicts[name]:,} {name.replace('_', ' ')}" for name in get_args(Verdict)[1:] if self.verdicts[name]
        )
        return f"{self.verdicts['kept']:,} of {self.questions:,} trajectories kept{f' ({dropped})' if dropped else ''}"

    def to_json(self) -> dict[str, Any]:
        steps = {str(count): number for count, number in self.steps.items()}
        return {"questions": self.questions, "verdicts": dict(self.verdicts), "steps": steps}


async def collect(
    problems: Sequence[Problem],
    components_of: Callable[[Problem], Components],
    folder: Path,
    min_f1: float | None = None,
    max_steps: int = 5,
    concurrency: int = 16,
) -> Collected:
    """Ask the teacher every question that `folder` has no row of.

    Args:
        components_of: the teacher with what answers its queries, for a question.
        min_f1: keep answers with at least this F1, in (0, 1]; None: only those that match exactly.
        max_steps: sentences after which the teacher is stopped.

    Raises:
        TreestarError: the teacher failed permanently, answered nothing or nothing right, or `folder` cannot be written.
    """
    search = GreedyConfig(max_depth=max_steps)

    async def work(problem: Problem) -> Row:
        if not gold_answers(problem):
            return row_of(problem, None, min_f1)
        return row_of(problem, await search_one(problem, search, components_of(problem)), min_f1)

    with Table(folder, TRAJECTORIES) as table:
        distinct = {key_of(each): each for each in problems}
        unasked = [each for key, each in distinct.items() if key not in table]
        await LocalWorkers(Worker(work, {}), concurrency).run(unasked, appending_to(table))
        table.seal()
    found = stored(folder, problems)
    check_some_kept(found)
    return found


def stored(folder: Path, problems: Sequence[Problem]) -> Collected:
    """What became of the problems according to `folder`, which is only read. Raises TreestarError if it does not have a
    row of each."""
    rows = rows_of(folder, problems, ["verdict", "steps"])
    if len(rows) < len(set(map(key_of, problems))):
        raise incomplete(folder)
    return summary(rows)


def incomplete(folder: Path) -> TreestarError:
    return TreestarError(
        f"{folder} has no complete trajectories: run the same command in one process first, which asks the teacher"
    )


def rows_of(folder: Path, problems: Iterable[Problem] | None, columns: Sequence[str]) -> list[Row]:
    """Some columns of the rows of these problems or of all, in an order that does not depend on who was finished first.
    Nothing on disk is changed, so several processes can read at the same time. Raises TreestarError."""
    wanted = None if problems is None else set(map(key_of, problems))
    rows: list[Row] = []
    try:
        for shard in folder.glob("[!_]*.parquet"):
            rows += whole_rows(shard, [*TRAJECTORIES.key, *columns])
    except (OSError, ValueError) as error:
        raise incomplete(folder) from error
    return sorted(
        (row for row in rows if wanted is None or TRAJECTORIES.key_of(row) in wanted), key=TRAJECTORIES.key_of
    )


def key_of(problem: Problem) -> tuple[str, str]:
    """The key of a problem's row."""
    return valid_text(problem.id), valid_text(problem.question)


def row_of(problem: Problem, result: SearchResult | None, min_f1: float | None) -> Row:
    golds = gold_answers(problem)
    answer = None if result is None else result.answer
    em, f1 = best_over_golds(exactly_matches, answer, golds), best_over_golds(answer_f1, answer, golds)
    if not golds:
        verdict: Verdict = "no_gold"
    elif answer is None:
        verdict = "unanswered"
    else:
        verdict = "kept" if (em == 1.0 if min_f1 is None else f1 >= min_f1) else "wrong"
    state = None if result is None or answer is None else trajectory_of(result)
    return {
        "problem_id": problem.id,
        "question": problem.question,
        "gold": json.dumps(golds),
        "answer": answer or "",
        "verdict": verdict,
        "em": em,
        "f1": f1,
        "steps": 0 if state is None else len(state.steps),
        "generated_tokens": 0 if result is None else result.stats.generated_tokens,
        "trajectory": "" if state is None else state_to_json(state),
    }


def trajectory_of(result: SearchResult) -> State:
    """The path to the answer of a search with one trajectory."""
    assert result.tree is not None
    [end] = [node for node in result.tree.terminals() if node.answer is not None]
    state = result.tree.state(end)
    # The metadata has all paragraphs of the question, of which training needs only those that were found.
    return replace(state, problem=replace(state.problem, metadata={}))


def summary(rows: Sequence[Row]) -> Collected:
    verdicts = Counter(row["verdict"] for row in rows)
    steps = Counter(row["steps"] for row in rows if row["verdict"] == "kept")
    return Collected(len(rows), {name: verdicts[name] for name in get_args(Verdict)}, dict(sorted(steps.items())))


def check_some_kept(found: Collected) -> None:
    """Raise TreestarError if no trajectory can be trained on."""
    if found.verdicts["kept"]:
        return
    if found.verdicts["no_gold"] == found.questions:
        raise TreestarError(
            f"none of the {found.questions:,} questions has a gold answer, so no answer of the teacher can be checked"
        )
    if not found.verdicts["wrong"]:
        raise TreestarError(
            f"the teacher answered none of {found.questions:,} questions: it must end its reasoning with "
            '"So the answer is: ..." (see `treestar doctor --policy`)'
        )
    raise TreestarError(f"none of the teacher's answers is right: {found}; --min-f1 accepts similar ones")


def read_trajectories(folder: Path, problems: Iterable[Problem] | None = None) -> Iterator[State]:
    """The kept trajectories in a folder that `collect` wrote, of these problems or of all. Raises TreestarError."""
    for row in rows_of(folder, problems, ["verdict", "trajectory"]):
        if row["verdict"] == "kept":
            yield state_from_json(row["trajectory"])
