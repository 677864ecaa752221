"""Labels the chunks of sampled solutions by Monte-Carlo completions (StepWiser, arXiv 2508.19229, section 3.2).

    FOLDER/settings.json     what the data was made with
    FOLDER/responses/        the sampled solutions, one row per problem
    FOLDER/chunks/           one row per chunk: what a judge reads, Q, its count, and the label

Both tables are ordinary Parquet, and consistent after a kill at any time. A problem's draws depend only on the
settings and the problem, and chunks are always completed from solutions as they are stored, so a resumed run makes the
same data.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from treestar.judge.completions import ValuedChunk, valued_chunks
from treestar.judge.config import AnnotationConfig
from treestar.judge.labels import LabelConfig, is_positive
from treestar.judge.responses import RESPONSES, Fate, Responses, collect_responses, responses_of
from treestar.search.expansion import Components
from treestar.seeds import seed_of
from treestar.storage.files import writing
from treestar.storage.settings import begin_folder
from treestar.storage.states import state_to_json
from treestar.storage.table import Row, Schema, Table, check_undamaged
from treestar.types import Problem, State, TreestarError
from treestar.workers import LocalWorkers, Worker

__all__ = ["CHUNKS", "LIMITS", "SETTINGS", "Annotated", "annotate", "chosen_solutions", "read_chunks"]

CHUNKS = Schema(
    "chunks",
    {
        "problem_id": "string",
        "solution": "int64",
        "chunk": "int64",
        "rows": "int64",
        "question": "string",
        "text": "string",
        "q": "float64",
        "completions": "int64",
        "right": "int64",
        "q_low": "float64",
        "q_high": "float64",
        "q_before": "float64",
        "last": "bool",
        "label": "bool",
        "borrowed": "int64",
        "generated_tokens": "int64",
        "state": "string",
    },
    key=("problem_id", "solution", "chunk"),
)
"""One row per different chunk. `chunk` counts from 0 in its solution; a beginning that several solutions share is only
in the first of them. `rows`: how many rows the problem has. `text` is the chunk as people read it; `state`, the JSON
of the solution up to and including the chunk, is what a judge reads. `q` is `right` / `completions`, `q_low` and
`q_high` the ends of its 95% interval; the last chunk's `q` is known without completions. `borrowed`: completions that
continue as one of a later chunk's (see `completions`)."""

SETTINGS = "settings.json"

LIMITS = ("truncated", "max_depth", "context", "dead_end")
"""How solutions end that are not labeled: that a limit cut them off is not a mistake of their last chunk."""

RELABELED = ("rule", "gamma", "alpha", "best_of")
"""Settings that can change from one run to the next: labels follow from the stored values."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """What a folder holds."""

    fates: dict[Fate, int]
    """Number of problems by what became of them."""
    solutions: int
    chunks: int
    positive: int
    unsure: int
    """Chunks whose label differs between the ends of Q's interval."""
    completions: int
    borrowed: int
    generated_tokens: int

    def __str__(self) -> str:
        problems = sum(self.fates.values())
        dropped = ", ".join(
            f"{self.fates[name]:,} {name.replace('_', ' ')}" for name in get_args(Fate)[1:] if self.fates[name]
        )
        share = f"{self.positive / self.chunks:.1%} positive" if self.chunks else "none"
        return (
            f"{self.fates['kept']:,} of {problems:,} problems kept{f' ({dropped})' if dropped else ''}; "
            f"{self.chunks:,} chunks of {self.solutions:,} solutions, {share}; {self.completions:,} completions, of "
            f"which {self.borrowed:,} continue as another's; {self.generated_tokens:,} tokens generated"
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "positive_share": self.positive / self.chunks if self.chunks else None}


async def annotate(
    problems: Sequence[Problem],
    components_of: Callable[[Problem], Components],
    folder: Path,
    config: AnnotationConfig,
    about: dict[str, Any],
    concurrency: int = 16,
    on_row: Callable[[Row], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Annotated:
    """Sample solutions and label their chunks, as far as `folder` does not have them yet.

    Args:
        problems: with gold answers or unit tests, and distinct ids.
        components_of: the policy with what runs and judges its solutions, for a problem.
        about: what else the data depends on, such as the policy's name; JSON values.
        concurrency: maximum number of problems at the same time.
        on_row: called with each new row of either table.
        say: called with a sentence about damaged data.

    Raises:
        TreestarError: the policy or the executor failed permanently, `folder` was made with other settings or cannot be
            written, or no problem is sometimes solved and sometimes not.
    """
    begin_folder(folder / SETTINGS, {**about, **asdict(config)}, RELABELED)
    relabel(folder, config)
    sampled = folder / RESPONSES.name
    rows = await collect_responses(problems, components_of, sampled, config, concurrency, on_row, say)
    fates = Counter(row["fate"] for row in rows)
    check_some_kept(fates)
    kept = (responses_of(row) for row in rows if row["fate"] == "kept")
    await annotate_responses(kept, components_of, folder / CHUNKS.name, config, concurrency, on_row, say)
    wanted = {problem.id for problem in problems}
    chunks = [row for row in read_chunks(folder) if row["problem_id"] in wanted]
    return summary(fates, chunks, config, sum(row["generated_tokens"] for row in rows))


def relabel(folder: Path, config: LabelConfig) -> None:
    """Label the stored chunks by the rule of `config`. The old table stays until the new one is complete, so a kill
    at any time loses nothing."""
    current, fresh, old = (folder / f"{CHUNKS.name}{end}" for end in ("", "-relabeled", "-old"))
    if not current.exists() and fresh.exists():  # killed between the two renamings
        fresh.rename(current)
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    if not current.exists():
        return
    with Table(current, CHUNKS) as table:
        rows = list(table.rows())
    if all(row["label"] == label_of(row, config) for row in rows):
        return
    with Table(fresh, CHUNKS) as table:
        for row in rows:
            table.append({**row, "label": label_of(row, config)})
        table.seal()
    with writing(folder):
        current.rename(old)
        fresh.rename(current)
        shutil.rmtree(old)


def check_some_kept(fates: Counter[Fate]) -> None:
    """Raise TreestarError if no problem's chunks can be labeled."""
    if fates["kept"]:
        return
    found = ", ".join(f"{count:,} {fate.replace('_', ' ')}" for fate, count in fates.items())
    raise TreestarError(
        f"no problem is sometimes solved and sometimes not ({found}), so no chunk makes a difference: give problems "
        "that suit the policy, or more --responses"
    )


async def annotate_responses(
    kept: Iterable[Responses],
    components_of: Callable[[Problem], Components],
    folder: Path,
    config: AnnotationConfig,
    concurrency: int,
    on_row: Callable[[Row], None],
    say: Callable[[str], None],
) -> None:
    """Label the chunks of every problem that the table in `folder` does not have whole."""

    async def work(found: Responses) -> list[Row]:
        components = components_of(found.problem)
        solutions = chosen_solutions(found, config.trajectories)
        seed = seed_of("completions", config.seed)
        chunks = await valued_chunks(found.problem, solutions, found.pass_rate, config, components, seed)
        return [row_of(found.problem, chunk, len(chunks), components, config) for chunk in chunks]

    with Table(folder, CHUNKS, say) as table:

        def keep(_: Responses, rows: list[Row]) -> None:
            for row in rows:
                if table.schema.key_of(row) not in table:  # a killed run can have stored some of them
                    table.append(row)
                    on_row(row)

        stored = Counter((row["problem_id"], row["rows"]) for row in table.rows(["problem_id", "rows"]))
        whole = {problem_id for (problem_id, rows), count in stored.items() if count == rows}
        missing = (each for each in kept if each.problem.id not in whole)
        await LocalWorkers(Worker(work, {}), concurrency).run(missing, keep)
        table.seal()


def chosen_solutions(found: Responses, count: int) -> list[State]:
    """At most `count` solutions: a wrong one, a right one, and so on in sampling order, while there are of both; then
    those that are left. Which are chosen does not bias the values, which are those of the chunks whatever solution they
    are in."""
    complete = [each for each in found.solutions if each.ended not in LIMITS]
    wrong = iter([each.state for each in complete if not each.right])
    right = iter([each.state for each in complete if each.right])
    chosen: list[State] = []
    for source in (wrong, right) * len(complete):
        if len(chosen) < count and (state := next(source, None)) is not None:
            chosen.append(state)
    return chosen


def row_of(problem: Problem, chunk: ValuedChunk, rows: int, components: Components, config: AnnotationConfig) -> Row:
    from treestar.statistics import binomial_interval  # loads numpy

    # With 16 completions it is about .44 wide at Q = 1/2, so a ratio near gamma is often a matter of luck.
    low, high = binomial_interval(chunk.right, chunk.completions) if chunk.completions else (chunk.q, chunk.q)
    steps = chunk.state.steps
    return {
        "problem_id": problem.id,
        "solution": chunk.solution,
        "chunk": len(steps) - 1,
        "rows": rows,
        "question": problem.question,
        "text": components.policy.display(problem, steps[-1].text),
        "q": chunk.q,
        "completions": chunk.completions,
        "right": chunk.right,
        "q_low": low,
        "q_high": high,
        "q_before": chunk.before,
        "last": chunk.completions == 0,
        "label": is_positive(chunk.q, chunk.before, config),
        "borrowed": chunk.borrowed,
        "generated_tokens": chunk.generated_tokens,
        "state": state_to_json(chunk.state),
    }


def label_of(row: Row, config: LabelConfig | None) -> bool:
    """The label of a row of `CHUNKS` by the rule of `config`; None: as stored."""
    return bool(row["label"]) if config is None else is_positive(row["q"], row["q_before"], config)


def read_chunks(folder: Path, config: LabelConfig | None = None) -> Iterator[Row]:
    """The rows in a folder that `annotate` wrote, in an order that does not depend on who was finished first.

    Args:
        config: label by this rule, from the stored values; None: the labels as stored.

    Raises:
        TreestarError: there are none, or some are lost.
    """
    table_folder = folder / CHUNKS.name
    if not table_folder.is_dir():
        raise TreestarError(f"{folder} has no labeled chunks: give a folder written by `treestar judge annotate`")
    check_undamaged(table_folder)
    with Table(table_folder, CHUNKS) as table:
        rows = sorted(table.rows(), key=CHUNKS.key_of)
    for row in rows:
        yield {**row, "label": label_of(row, config)}


def summary(fates: Counter[Fate], rows: Sequence[Row], config: AnnotationConfig, tokens: int) -> Annotated:
    return Annotated(
        {name: fates[name] for name in get_args(Fate)},
        len({(row["problem_id"], row["solution"]) for row in rows}),
        len(rows),
        sum(row["label"] for row in rows),
        sum(is_unsure(row, config) for row in rows),
        sum(row["completions"] for row in rows),
        sum(row["borrowed"] for row in rows),
        tokens + sum(row["generated_tokens"] for row in rows),
    )


def is_unsure(row: Row, config: LabelConfig) -> bool:
    ends = {is_positive(q, row["q_before"], config) for q in (row["q_low"], row["q_high"])}
    return len(ends) > 1
