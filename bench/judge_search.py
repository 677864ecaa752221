"""Chunk reset with a judge against best of n, majority and MCTS with the PPM, at equal tokens (StepWiser, table 7).

    python bench/judge_search.py FOLDER [--judge grpo-rel_ratio-0] [--problems 20] [--tokens 2000] [--seeds 1]

FOLDER is that of judge.py, which has trained the judge. `toy-bootstrap` searches problems of the test split, of the
same cells. Every search has --tokens generated tokens, those of the policy and of the judge together; the PPM only
reads. The answer that a search would give is noted whenever it changes, with the tokens spent until then. One that is
known too late does not count, and one search gives the accuracy at all smaller budgets, too.

Everything finished is kept in FOLDER/search, so the same command continues. Writes bench/results/judge_search.json with
what is done.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from judge import (
    BASE,
    CELLS,
    HELD_OUT,
    HELD_OUT_SEED,
    PPM,
    arguments_of_judge,
    held_out_solutions,
    judge_scorer,
    judge_values,
    keep_record,
    trained_judge,
)
from search_quality import ENOUGH, SEARCHES
from search_quality_figures import Line, Rows, by_problem, compare, curve, method_figures

from treestar.benchmarks.first_error import best_threshold
from treestar.benchmarks.gym import make_problems
from treestar.components import ComponentsConfig, open_components
from treestar.concurrency import gather_all
from treestar.policy.load import read_step_format
from treestar.search import (
    BestOfNConfig,
    ChunkResetConfig,
    Components,
    MajorityConfig,
    Search,
    SearchConfig,
    choose,
    search_one,
)
from treestar.search.answer import Weighting
from treestar.storage.lines import appending, read_lines
from treestar.types import Problem

OWN = "own"
"""The name in `Line.answers` of the rule by which a method chooses."""

JUDGE = "judge"
"""In `Method.scorer`: the judge that is measured."""

CHOSEN = "chunk_reset_chosen"
"""Chunk reset that accepts steps from the threshold that is best on the held-out solutions of judge.py."""


class Method(NamedTuple):
    """A way to spend the tokens."""

    search: Callable[..., SearchConfig]
    scorer: str | None
    choice: Weighting


# One trajectory at a time leaves the least unfinished at the end of the budget; the problems fill the batches.
METHODS = {
    "majority": Method(partial(MajorityConfig, samples=ENOUGH, in_flight=1), None, "majority"),
    "chunk_reset_judge": Method(partial(ChunkResetConfig, in_flight=1), JUDGE, "majority"),
    CHOSEN: Method(partial(ChunkResetConfig, in_flight=1), JUDGE, "majority"),
    "best_of_n_judge": Method(partial(BestOfNConfig, samples=ENOUGH, in_flight=1), JUDGE, "best"),
    "best_of_n_ppm": Method(partial(BestOfNConfig, samples=ENOUGH, in_flight=1), PPM, "best"),
    "mcts_ppm": Method(SEARCHES["mcts"], PPM, "weighted"),
}


@dataclass
class JudgedLine(Line):
    """One search of one problem, with what a judge adds. `ppm` names its scorer."""

    judged_tokens: int = 0
    rejected_tokens: int = 0
    trajectories: int = 0


def problems_by_cell(count: int) -> list[tuple[str, Problem]]:
    """Test problems with their cells, the cells in turns."""
    found = [make_problems(family, level, "test", count, seed=HELD_OUT_SEED) for family, level in CELLS]
    names = [f"{family}/{level}" for family, level in CELLS]
    return [pair for row in zip(*found, strict=True) for pair in zip(names, row, strict=True)]


async def search(
    line: JudgedLine, problem: Problem, components: Components, config: SearchConfig, choice: Weighting
) -> None:
    """Search and fill in the line."""
    answers: list[tuple[int, str]] = []

    def note(search: Search[SearchConfig]) -> None:
        found = choose(search.groups, choice)
        answer = None if found is None else found[0].answer
        if answer is not None and (not answers or answers[-1][1] != answer):
            answers.append((search.stats.spent_tokens, answer))

    result = await search_one(problem, config, components, line.seed, on_progress=note)
    line.answers[OWN] = [(at, await components.verifier.accepts(problem, answer)) for at, answer in answers]
    stats = result.stats
    line.generated_tokens, line.scored_tokens = stats.generated_tokens, stats.scored_tokens
    line.judged_tokens, line.rejected_tokens = stats.judged_tokens, stats.rejected_tokens
    line.executions, line.nodes, line.trajectories = stats.executions, stats.nodes, stats.rollouts
    line.stopped = result.stopped


async def search_missing(
    name: str,
    config: SearchConfig,
    path: Path,
    problems: Sequence[tuple[str, Problem]],
    seed: int,
    given: argparse.Namespace,
) -> None:
    """Search the problems that `path` has no line of with this seed."""
    method = METHODS[name]
    done = {line.key for line in lines_of(path)}
    scorer = judge_scorer(given.folder / given.judge) if method.scorer == JUDGE else method.scorer
    named = given.judge if method.scorer == JUDGE else method.scorer or ""
    lines = [(JudgedLine(name, named, seed, problem.id, cell), problem) for cell, problem in problems]
    missing = [each for each in lines if each[0].key not in done]
    if not missing:
        return
    places = asyncio.Semaphore(given.concurrency)
    path.parent.mkdir(parents=True, exist_ok=True)
    async with open_components(ComponentsConfig(policy=BASE, scorer=scorer)) as components:
        with appending(path) as append:

            async def work(line: JudgedLine, problem: Problem) -> None:
                async with places:
                    await search(line, problem, components, config, method.choice)
                append(asdict(line))

            await gather_all([work(*each) for each in missing])


def chosen_threshold(folder: Path, judge: str) -> float:
    """The threshold by which the judge finds the most first errors of the held-out solutions."""
    solutions = asyncio.run(held_out_solutions(folder / "held-out", HELD_OUT, read_step_format(BASE)))
    return best_threshold(judge_values(folder / judge, solutions), [each.first_error for each in solutions])


def lines_of(path: Path) -> list[JudgedLine]:
    return list(read_lines(path, lambda fields: JudgedLine(**fields), "a search")) if path.exists() else []


def rows_of(path: Path, problems: Sequence[tuple[str, Problem]], seeds: int) -> Rows:
    wanted = {problem.id for _, problem in problems}
    rows: Rows = {}
    for line in lines_of(path):
        if line.problem in wanted and line.seed < seeds:
            rows.setdefault(line.problem, []).append(line)
    return rows


def figures_of(rows: Rows, tokens: int) -> dict[str, Any]:
    """A method's accuracy and what it spent, means over problems and seeds."""
    lines = [line for each in rows.values() for line in each if isinstance(line, JudgedLine)]
    found = method_figures(rows, by_problem(rows, OWN, tokens))
    return {
        **found,
        "judged_tokens": round(fmean(line.judged_tokens for line in lines), 1),
        "accepted_tokens": round(fmean(line.generated_tokens - line.rejected_tokens for line in lines), 1),
        "rejected_tokens": round(fmean(line.rejected_tokens for line in lines), 1),
        "trajectories": round(fmean(line.trajectories for line in lines), 2),
        "by_tokens": curve(rows, OWN, tokens),
    }


def minus_majority(rows: Rows, majority: Rows, tokens: int) -> dict[str, Any]:
    """The paired difference at a quarter, half and all of the tokens."""
    return {
        str(budget): compare(by_problem(rows, OWN, budget), by_problem(majority, OWN, budget))
        for budget in (tokens // 4, tokens // 2, tokens)
    }


def run(given: argparse.Namespace) -> dict[str, Any]:
    trained_judge(given.folder, given.judge)
    threshold = chosen_threshold(given.folder, given.judge)
    problems = problems_by_cell(given.problems)
    figures: dict[str, Any] = {
        "policy": BASE,
        "judge": given.judge,
        "chosen_threshold": threshold,
        "ppm": PPM,
        "problems": len(problems),
        "seeds": given.seeds,
        "budget": given.tokens,
        "temperature": given.temperature,
        "methods": {},
        "minus_majority": {},
    }
    found: dict[str, Rows] = {}
    for name, method in METHODS.items():
        scorer = given.judge if method.scorer == JUDGE else method.scorer or "none"
        path = given.folder / "search" / f"{name}-{scorer}-{given.tokens}-{given.temperature}.jsonl"
        config = method.search(max_generated_tokens=given.tokens, temperature=given.temperature)
        if name == CHOSEN:
            assert isinstance(config, ChunkResetConfig)
            config = replace(config, accept_from=threshold)
        for seed in range(given.seeds):
            asyncio.run(search_missing(name, config, path, problems, seed, given))
        found[name] = rows_of(path, problems, given.seeds)
        figures["methods"][name] = figures_of(found[name], given.tokens)
        if name != "majority":
            figures["minus_majority"][name] = minus_majority(found[name], found["majority"], given.tokens)
        keep_record(figures, given)
    return figures


def main() -> None:
    parser = arguments_of_judge(__doc__, "judge_search.json")
    parser.add_argument("--problems", type=int, default=20, help="test problems of each cell")
    parser.add_argument("--tokens", type=int, default=2000, help="generated tokens for each problem")
    parser.add_argument("--temperature", type=float, default=1.0, help="of every method")
    parser.add_argument("--concurrency", type=int, default=32)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
