"""The policy's solutions of every problem: sampled, judged at their end, and stored, one row per problem, as Parquet.

Both kinds of a judge's data begin here: right solutions are segmented, and chunks of right and wrong ones are labeled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal, get_args

from treestar.judge.config import ResponsesConfig
from treestar.search.answer import AnswerGroups
from treestar.search.baselines import sample
from treestar.search.engine import grown
from treestar.search.expansion import Components, Search
from treestar.search.tree import TerminalReason, Tree
from treestar.seeds import seed_of
from treestar.storage.states import state_from_json, state_to_json
from treestar.storage.table import Row, Schema, Table, appending_to, valid_text
from treestar.types import Problem, State, TreestarError, Verifier
from treestar.workers import LocalWorkers, Worker

__all__ = ["RESPONSES", "Fate", "Response", "Responses", "collect_responses", "responses_of", "verdicts_of"]

Fate = Literal["kept", "all_right", "all_wrong", "no_gold", "no_room"]
"""What became of a problem: its chunks are labeled; the policy solves it always or never; it has no gold answer; its
prompt leaves no room for a step."""

RESPONSES = Schema(
    "responses",
    {
        "problem_id": "string",
        "question": "string",
        "gold": "string",
        "fate": "string",
        "responses": "int64",
        "right": "int64",
        "generated_tokens": "int64",
        "solutions": "string",
    },
    key=("problem_id",),
)
"""One row per problem. `solutions` is a JSON list: each distinct response with its `state` (JSON text), `ended`,
`answer`, and whether it is `right`."""


@dataclass(frozen=True, slots=True)
class Response:
    """A sampled solution."""

    state: State
    ended: TerminalReason
    answer: str | None
    right: bool


@dataclass(frozen=True, slots=True)
class Responses:
    """The sampled solutions of a problem."""

    problem: Problem
    fate: Fate
    sampled: int
    right: int
    solutions: tuple[Response, ...]
    """Each different one once, in sampling order."""

    @property
    def pass_rate(self) -> float:
        return self.right / self.sampled


async def collect_responses(
    problems: Sequence[Problem],
    components_of: Callable[[Problem], Components],
    folder: Path,
    config: ResponsesConfig,
    concurrency: int = 16,
    on_row: Callable[[Row], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Sample solutions of every problem that `folder` has no row of; returns the rows of all of them.

    Args:
        problems: with distinct ids.
        components_of: the policy with what runs and judges its solutions, for a problem.
        concurrency: maximum number of problems at the same time.
        on_row: called with each new row.
        say: called with a sentence about damaged data.

    Raises:
        TreestarError: the policy or the executor failed permanently, or `folder` cannot be written, or it has solutions
            of another question with the id of one of the problems.
    """
    check_ids(problems)

    async def work(problem: Problem) -> Row:
        return await row_of(problem, components_of(problem), config)

    with Table(folder, RESPONSES, say) as table:
        check_questions(problems, table)
        missing = [each for each in problems if (each.id,) not in table]
        await LocalWorkers(Worker(work, {}), concurrency).run(missing, appending_to(table, on_row))
        table.seal()
        wanted = {problem.id for problem in problems}
        return [row for row in table.rows() if row["problem_id"] in wanted]


def check_questions(problems: Sequence[Problem], table: Table) -> None:
    """Raise TreestarError if `table` has another question under the id of a problem: ids can be line numbers."""
    questions = {problem.id: valid_text(problem.question) for problem in problems}
    for row in table.rows(["problem_id", "question"]):
        if questions.get(row["problem_id"], row["question"]) != row["question"]:
            raise TreestarError(
                f"{table.folder} has solutions of another question with the id {row['problem_id']!r}: give each "
                "problem a different id, or choose another folder"
            )


def check_ids(problems: Sequence[Problem]) -> None:
    """Raise TreestarError unless the problems have distinct ids."""
    if not problems:
        raise TreestarError("there are no problems to sample solutions of")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise TreestarError(f"two problems have the id {problem.id!r}: give each its own")
        seen.add(problem.id)


async def row_of(problem: Problem, components: Components, config: ResponsesConfig) -> Row:
    if problem.answer is None and problem.kind != "code":
        return stored(problem, "no_gold", [], 0)
    settings = config.sampling(config.responses).completed(components.policy.recommended)
    tree = Tree(problem, "responses", settings.to_json(), seed_of("responses", config.seed))
    search = Search(settings, components, tree, AnswerGroups(components.verifier), Event())
    await grown(search, sample)
    if tree.root.terminal is not None:
        return stored(problem, "no_room", [], search.stats.generated_tokens)
    verdicts = await verdicts_of(tree, components.verifier)
    found = []
    for node in tree.terminals():
        assert node.terminal is not None
        is_right = verdicts.get(node.answer or "", False)
        found.append(Response(tree.state(node), node.terminal, node.answer, is_right))
    right = sum(each.right for each in found)
    fate: Fate = "all_wrong" if right == 0 else "all_right" if right == len(found) else "kept"
    return stored(problem, fate, found, search.stats.generated_tokens)


async def verdicts_of(tree: Tree, verifier: Verifier) -> dict[str, bool]:
    """Whether each answer in the tree is right; each different one is judged once."""
    answers = dict.fromkeys(node.answer for node in tree.terminals())
    return {answer: await verifier.accepts(tree.problem, answer) for answer in answers if answer}


def stored(problem: Problem, fate: Fate, responses: Sequence[Response], tokens: int) -> Row:
    different: dict[str, dict[str, Any]] = {}
    for each in responses:
        text = state_to_json(each.state)
        found = {"state": text, "ended": each.ended, "answer": each.answer, "right": each.right}
        different.setdefault(text, found)
    return {
        "problem_id": problem.id,
        "question": problem.question,
        "gold": problem.answer or "",
        "fate": fate,
        "responses": len(responses),
        "right": sum(each.right for each in responses),
        "generated_tokens": tokens,
        "solutions": json.dumps(list(different.values())),
    }


def responses_of(row: Row) -> Responses:
    """The solutions in a row of `RESPONSES`."""
    solutions = tuple(
        Response(state_from_json(each["state"]), each["ended"], each["answer"], each["right"])
        for each in json.loads(row["solutions"])
    )
    assert row["fate"] in get_args(Fate)
    problem = (
        solutions[0].state.problem if solutions else Problem(row["question"], row["gold"] or None, row["problem_id"])
    )
    return Responses(problem, row["fate"], row["responses"], row["right"], solutions)
