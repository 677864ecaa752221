"""Data that teaches a policy to write in chunks: its own right solutions, cut into chunks.

    FOLDER/settings.json     what the data was made with
    FOLDER/responses/        the sampled solutions, one row per problem
    FOLDER/chunked/          one row per right solution, which `treestar train sft --rows FOLDER/chunked` reads

Both tables are ordinary Parquet, and consistent after a kill at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from treestar.judge.annotate import SETTINGS
from treestar.judge.config import SegmentationConfig
from treestar.judge.responses import RESPONSES, Response, collect_responses, responses_of
from treestar.judge.segmentation import (
    chunks_by_rules,
    chunks_of_reply,
    paragraphs_of,
    segmentation_prompt,
    solution_and_answer,
    tagged,
)
from treestar.policy.formats import ChunkFormat
from treestar.search.expansion import Components
from treestar.seeds import seed_of
from treestar.storage.settings import begin_folder
from treestar.storage.states import state_to_json
from treestar.storage.table import Row, Schema, Table, appending_to
from treestar.types import ContextOverflow, Execution, Policy, Problem, Sampling, State, Step, TreestarError
from treestar.workers import LocalWorkers, Worker

__all__ = ["CHUNKED", "Segmented", "Segmenter", "by_model", "by_rules", "segment"]

CHUNKED = Schema(
    "chunked",
    {
        "problem_id": "string",
        "solution": "int64",
        "question": "string",
        "verdict": "string",
        "tries": "int64",
        "chunks": "int64",
        "paragraphs": "int64",
        "tokens": "int64",
        "segmenter_tokens": "int64",
        "text": "string",
        "trajectory": "string",
        "copies": "int64",
    },
    key=("problem_id", "solution"),
)
"""One row per right solution. `paragraphs`: its steps at blank lines. `tokens`: those of the policy. `text` is the
solution with its marks; `trajectory` and `copies` are what `treestar train sft --rows` reads, with no copies of a
solution that was not kept."""

Verdict = Literal["kept", "inexact", "no_box"]
"""What became of a solution: it was cut into chunks; the model never marked exactly its text; it has no \\boxed."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What a segmenter made of a solution."""

    chunks: list[str] | None
    """None if it never marked exactly the text."""
    tries: int
    tokens: int = 0
    """Tokens that it generated."""


Segmenter = Callable[[str, int], Awaitable[Marked]]
"""From a solution's reasoning and a seed to its chunks, which joined are the reasoning."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """What a folder holds."""

    problems: int
    solved: int
    """Problems with a right solution."""
    verdicts: dict[Verdict, int]
    """Number of right solutions by what became of them."""
    chunks: float
    paragraphs: float
    tokens: float
    """Means over the solutions that were kept; 0 without any."""
    segmenter_tokens: int
    generated_tokens: int

    def __str__(self) -> str:
        total = sum(self.verdicts.values())
        dropped = ", ".join(f"{self.verdicts[name]:,} {name.replace('_', ' ')}" for name in ("inexact", "no_box"))
        if not self.verdicts["kept"]:
            return f"none of {total:,} right solutions kept ({dropped})"
        return (
            f"{self.verdicts['kept']:,} of {total:,} right solutions of {self.solved:,} problems kept ({dropped}); "
            f"{self.chunks:.1f} chunks a solution instead of {self.paragraphs:.1f} paragraphs, {self.tokens:.0f} "
            f"tokens a solution, {self.tokens / self.chunks:.0f} a chunk instead of "
            f"{self.tokens / self.paragraphs:.0f} a paragraph"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


async def by_rules(text: str, seed: int) -> Marked:  # noqa: ARG001  # a `Segmenter` takes it
    """A segmenter that needs no model."""
    return Marked(chunks_by_rules(text), tries=1)


def by_model(writer: Policy, tries: int, limit: int) -> Segmenter:
    """A segmenter that asks a model, at most `tries` times, until it marks exactly the text.

    Args:
        writer: replies to the question of a problem with one step (`replying`).
        limit: maximum tokens of a reply.
    """

    async def marked(text: str, seed: int) -> Marked:
        tokens = 0
        for number in range(tries):
            sampling = Sampling(0.0 if number == 0 else 0.7, 1.0, min(limit, 256 + len(text)))
            try:
                state = State(Problem(segmentation_prompt(text)))
                proposal = await writer.propose(state, 1, sampling, seed_of(seed, number))
            except ContextOverflow:
                return Marked(None, number + 1, tokens)
            tokens += proposal.generated_tokens
            chunks = chunks_of_reply(proposal.steps[0].text, text)
            if chunks is not None:
                return Marked(chunks, number + 1, tokens)
        return Marked(None, tries, tokens)

    return marked


async def segment(
    problems: Sequence[Problem],
    components_of: Callable[[Problem], Components],
    segmenter: Segmenter,
    folder: Path,
    config: SegmentationConfig,
    about: dict[str, Any],
    concurrency: int = 16,
    on_row: Callable[[Row], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Segmented:
    """Sample solutions and cut the right ones into chunks, as far as `folder` does not have them yet.

    Args:
        problems: with gold answers, and distinct ids.
        components_of: the policy with what judges its solutions, for a problem. It writes prose.
        about: what else the data depends on, such as the names of policy and segmenter; JSON values.
        concurrency: maximum number of problems at the same time.
        on_row: called with each new row of either table.
        say: called with a sentence about damaged data.

    Raises:
        TreestarError: a model failed permanently, `folder` was made with other settings or cannot be written, the
            policy writes code, or no solution is kept.
    """
    begin_folder(folder / SETTINGS, {**about, **asdict(config)})
    sampled = folder / RESPONSES.name
    rows = await collect_responses(problems, components_of, sampled, config, concurrency, on_row, say)
    wanted = {problem.id for problem in problems}
    with Table(folder / CHUNKED.name, CHUNKED, say) as table:

        async def work(task: tuple[int, Response]) -> Row:
            number, response = task
            return await chunked_row(number, response, segmenter, config.seed)

        right = right_solutions(rows, config)
        missing = ((number, each) for number, each in right if (each.state.problem.id, number) not in table)
        await LocalWorkers(Worker(work, {}), concurrency).run(missing, appending_to(table, on_row))
        table.seal()
        found = summary(rows, [row for row in table.rows() if row["problem_id"] in wanted])
    check_some_kept(found)
    return found


def right_solutions(rows: Iterable[Row], config: SegmentationConfig) -> Iterator[tuple[int, Response]]:
    """The first right solutions of each problem, at most `config.solutions`, numbered."""
    for row in rows:
        right = [each for each in responses_of(row).solutions if each.right]
        yield from enumerate(right[: config.solutions])


async def chunked_row(number: int, response: Response, segmenter: Segmenter, seed: int) -> Row:
    state = response.state
    if any(step.code for step in state.steps):
        raise TreestarError(
            "the policy writes steps of code, each of which is a chunk already: only solutions in prose are segmented "
            "(choose --step-format cot, or leave segmentation out of the job)"
        )
    text = "".join(step.text for step in state.steps)
    parts = solution_and_answer(text)
    marked = Marked(None, 0)
    verdict: Verdict = "no_box"
    steps: list[str] = []
    if parts is not None:
        reasoning, answer = parts
        marked = await segmenter(reasoning, seed_of(seed, state.problem.id, number))
        verdict = "inexact" if marked.chunks is None else "kept"
        steps = tagged(marked.chunks, answer) if marked.chunks is not None else []
    return {
        "problem_id": state.problem.id,
        "solution": number,
        "question": state.problem.question,
        "verdict": verdict,
        "tries": marked.tries,
        "chunks": max(0, len(steps) - 1),
        "paragraphs": 0 if parts is None else len(paragraphs_of(parts[0])),
        "tokens": sum(step.tokens for step in state.steps),
        "segmenter_tokens": marked.tokens,
        "text": "".join(steps),
        "trajectory": trajectory_json(state.problem, steps, response.answer) if steps else "",
        "copies": int(verdict == "kept"),
    }


def trajectory_json(problem: Problem, texts: Sequence[str], answer: str | None) -> str:
    """A solution in chunks as `treestar train sft --rows` reads it."""
    steps = (*(Step(text) for text in texts[:-1]), Step(texts[-1], ending="answer", answer=answer))
    return state_to_json(State(problem, steps, (Execution(),) * len(steps)), step_format=ChunkFormat.name)


def summary(responses: Sequence[Row], rows: Sequence[Row]) -> Segmented:
    verdicts = Counter(row["verdict"] for row in rows)
    kept = [row for row in rows if row["verdict"] == "kept"]

    def mean(name: str) -> float:
        return sum(row[name] for row in kept) / len(kept) if kept else 0.0

    return Segmented(
        len(responses),
        sum(row["right"] > 0 for row in responses),
        {name: verdicts[name] for name in get_args(Verdict)},
        mean("chunks"),
        mean("paragraphs"),
        mean("tokens"),
        sum(row["segmenter_tokens"] for row in rows),
        sum(row["generated_tokens"] for row in responses),
    )


def check_some_kept(found: Segmented) -> None:
    """Raise TreestarError if there is nothing to train on."""
    if found.verdicts["kept"]:
        return
    if not found.solved:
        raise TreestarError(f"the policy solved none of {found.problems:,} problems: give easier ones")
    raise TreestarError(f"no training data: {found}; a segmenter that follows the form better, or `rules`, keeps more")
