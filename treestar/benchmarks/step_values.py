"""The values that a scorer gives to the steps of solutions, kept as they are computed so that a run can be resumed.

OUT/config.json     what was measured; compared when a run is resumed
OUT/samples.jsonl   a line for each solution: its steps' values, what is known of them, and the cost
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from treestar.benchmarks.first_error import NO_ERROR
from treestar.benchmarks.solutions import Solution, states_of
from treestar.storage.files import locked, write_json, writing
from treestar.storage.lines import appending, read_lines
from treestar.storage.settings import check_same_settings, read_settings
from treestar.types import Closable, Scorer, TreestarError
from treestar.workers import LocalWorkers, Worker

__all__ = ["SAMPLES", "Valued", "begin_valuing", "read_values", "value_solutions"]

CONFIG, SAMPLES = "config.json", "samples.jsonl"


@dataclass(frozen=True, slots=True)
class Valued:
    """A solution with the values of its steps."""

    subset: str
    number: int
    values: tuple[float, ...]
    """One for each step, in [-1, 1]: how good it is, given those before it."""
    wrong: tuple[int, ...]
    """See `Solution.wrong`."""
    scored_tokens: int = 0
    judged_tokens: int = 0

    @property
    def label(self) -> int:
        """The index of the first wrong step, or NO_ERROR."""
        return self.wrong[0] if self.wrong else NO_ERROR


def begin_valuing(
    out: Path, benchmark: str, scorer: str, solutions: Sequence[Solution], resume: bool, dtype: str | None = None
) -> None:
    """Create the folder of a run, or check that it contains the same run.

    Args:
        dtype: the data type of the scorer that was asked for, if any.

    Raises:
        TreestarError: `out` contains a run and `resume` is false, the run is another one or has no config.json, or
            `out` cannot be written.
    """
    settings = {
        "benchmark": benchmark,
        "scorer": scorer,
        "solutions": len(solutions),
        "digest": digest(solutions),
        "dtype": dtype,
    }
    path = out / CONFIG
    if (out / SAMPLES).exists():
        if not resume:
            raise TreestarError(f"{out} already contains a run: give --resume to continue it, or another --out")
        check_same_settings(out, read_settings(path), settings)
    with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)


def digest(solutions: Sequence[Solution]) -> str:
    """A digest of all that is measured, in order."""
    texts = [json.dumps([each.subset, each.number, each.question, each.steps, each.wrong]) for each in solutions]
    return blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def read_values(out: Path) -> list[Valued]:
    """The finished solutions of a run, each once; none without its file. Raises TreestarError if it cannot be read."""
    path = out / SAMPLES
    rows = read_lines(path, valued_from_json, "a valued solution") if path.exists() else iter(())
    return list({(each.subset, each.number): each for each in rows}.values())


def valued_from_json(row: dict[str, Any]) -> Valued:
    return Valued(
        row["subset"],
        row["number"],
        tuple(map(float, row["values"])),
        tuple(map(int, row["wrong"])),
        row["scored_tokens"],
        row["judged_tokens"],
    )


async def value_solutions(
    out: Path,
    scorer: Scorer,
    solutions: Sequence[Solution],
    concurrency: int = 16,
    on_done: Callable[[], None] = lambda: None,
) -> None:
    """Value the solutions that are not finished yet, and close the scorer.

    Args:
        out: a folder that `begin_valuing` has created or checked.
        on_done: called when a solution is finished.

    Raises:
        TreestarError: the scorer fails, or `out` cannot be written or is in use. Finished solutions stay.
    """
    try:
        with locked(out), appending(out / SAMPLES) as append:

            def keep(_: Solution, row: dict[str, Any]) -> None:
                append(row)
                on_done()

            finished = {(each.subset, each.number) for each in read_values(out)}
            missing = [each for each in solutions if (each.subset, each.number) not in finished]
            await LocalWorkers(Worker(partial(row_of, scorer), {}), concurrency).run(missing, keep)
    finally:
        if isinstance(scorer, Closable):
            await scorer.close()


async def row_of(scorer: Scorer, solution: Solution) -> dict[str, Any]:
    """The line of a solution, with a judge's analyses."""
    scores = await scorer.score(states_of(solution))
    return {
        "subset": solution.subset,
        "number": solution.number,
        "values": list(scores.values),
        "wrong": list(solution.wrong),
        "scored_tokens": scores.tokens,
        "judged_tokens": scores.generated_tokens,
        **({"analyses": list(scores.analyses)} if scores.analyses else {}),
    }
