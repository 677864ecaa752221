"""Selection of training data by a judge, by the PPM and by outcome alone, in one round (StepWiser, table 8).

    python bench/judge_selection.py FOLDER [--judge grpo-rel_ratio-0] [--problems 60] [--trajectories 1] [--seeds 1]

FOLDER is that of judge.py, which has trained the judge. `toy-bootstrap` searches training problems of judge.py's cells
that the judge was not trained on, with gold answers. From the same trees come four selections of right trajectories,
equally many of each problem:

- `outcome`: drawn at random;
- `mean_q`: those with the highest mean Q in the tree, the default of `treestar evolve`;
- `ppm`, `judge`: those whose steps have the highest mean score.

`toy-bootstrap` is fine-tuned on each with the settings of the preset `toy`, and measured greedily on problems of the
validation split. `taught` is the share of selected trajectories that are the teacher's steps, of those whose wording
the teacher knows. Most problems of these cells have one right program, so that all selections agree: `where_they_can`
has the same figures for the others alone, those with more right programs than are taken.

Everything finished is kept in FOLDER/selection, so the same command continues. Writes
bench/results/judge_selection.json with what is done.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from judge import BASE, CELLS, PPM, arguments_of_judge, is_taught, judge_scorer, keep_record, problems_of, trained_judge
from selection_ablation import at_random, measure

from treestar import MCTSConfig, Problem, SearchResult, Solver
from treestar.components import load_step_scorer
from treestar.judge.annotate import read_chunks
from treestar.policy.formats import StepFormat
from treestar.policy.load import read_step_format
from treestar.search import Tree
from treestar.selfevolve.job import load_job, preset_path
from treestar.selfevolve.judged import judged_tokens, step_scores
from treestar.selfevolve.selection import Trajectory, best_of_different, best_trajectories, right_trajectories
from treestar.statistics import bootstrap_intervals, paired_difference
from treestar.storage.files import read_json, write_json
from treestar.training.sft.data import SFTRow
from treestar.training.sft.train import train_policy

SELECTION_SEED = 78
"""The searched problems are drawn as those of a job with this seed."""

SEARCH = MCTSConfig(
    gold=True,
    early_stop=False,
    max_rollouts=64,
    children=8,
    distinct=True,
    min_share=0.002,
    max_generated_tokens=3000,
)
"""Wider than in the preset `toy`, whose searches find a second right program even more rarely."""

NAMES = ("outcome", "mean_q", "ppm", "judge")


def searched_trees(problems: Sequence[Problem], folder: Path) -> list[Tree]:
    """The problems' trees, sorted by their ids; those in `folder` are not searched again."""
    folder.mkdir(parents=True, exist_ok=True)

    def file_of(problem: Problem) -> Path:
        return folder / f"{problem.id}.json"

    def keep(result: SearchResult) -> None:
        assert result.tree is not None
        result.tree.save(file_of(result.problem))

    missing = [problem for problem in problems if not file_of(problem).exists()]
    if missing:
        with Solver(BASE, SEARCH, scorer=None, seed=SELECTION_SEED, concurrency=32) as solver:
            solver.solve_many(missing, on_result=keep)
    return [Tree.load(file_of(problem)) for problem in sorted(problems, key=lambda each: each.id)]


def selected(
    trees: Sequence[Tree], count: int, seed: int, scores: Mapping[str, Mapping[Any, float]]
) -> dict[str, list[Trajectory]]:
    """At most `count` right trajectories of each problem, by each of NAMES."""
    choose = at_random(count, seed)
    return {
        "outcome": [each for tree in trees for each in choose(right_trajectories(tree))],
        "mean_q": best_trajectories(trees, count),
        "ppm": best_trajectories(trees, count, scores["ppm"]),
        "judge": best_trajectories(trees, count, scores["judge"]),
    }


def programs_by_problem(chosen: Sequence[Trajectory]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in chosen:
        found.setdefault(each.state.problem.id, set()).add(each.program)
    return found


def about(chosen: Sequence[Trajectory], random: Sequence[Trajectory], own: StepFormat) -> dict[str, Any]:
    """What a selection is like, beside the random one."""
    programs, others = programs_by_problem(chosen), programs_by_problem(random)
    known = [taught for each in chosen if (taught := is_taught(each.state, own)) is not None]
    return {
        "trajectories": len(chosen),
        "steps": mean(len(each.state.steps) for each in chosen),
        "taught": mean(known),
        "differs_from_outcome": mean(programs[name] != others[name] for name in programs),
    }


def mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def with_a_choice(trees: Sequence[Tree], count: int) -> set[str]:
    """The problems that have more than `count` different right programs."""
    return {tree.problem.id for tree in trees if len(best_of_different(right_trajectories(tree), count + 1)) > count}


def of_problems(chosen: Sequence[Trajectory], wanted: Collection[str]) -> list[Trajectory]:
    return [each for each in chosen if each.state.problem.id in wanted]


def trained_and_measured(chosen: Sequence[Trajectory], out: Path, seed: int, problems: int) -> dict[str, Any]:
    """Fine-tune on the trajectories and measure the policy, unless that is done."""
    sft = load_job(preset_path("toy")).sft
    assert sft is not None
    if not (out / "config.json").exists():
        rows = [SFTRow(each.state.problem.id, each.state) for each in chosen]
        train_policy(rows, BASE, out, replace(sft, seed=seed), resume=True)
    return kept_measure(str(out), out / f"measured-{problems}.json", problems)


def kept_measure(policy: str, kept: Path, problems: int) -> dict[str, Any]:
    if not kept.exists():
        write_json(kept, measure(policy, CELLS, problems))
    found: dict[str, Any] = read_json(kept)
    return found


def over_seeds(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy over problems, each the mean of its seeds."""
    right = mean_right(measured)
    [[low, high]] = bootstrap_intervals(np.array(right)[:, None])
    cells = {cell: fmean(each["by_cell"][cell] for each in measured) for cell in measured[0]["by_cell"]}
    return {"accuracy": fmean(right), "interval": [float(low), float(high)], "by_cell": cells}


def mean_right(measured: Sequence[dict[str, Any]]) -> list[float]:
    return [fmean(each) for each in zip(*(each["right"] for each in measured), strict=True)]


def run(given: argparse.Namespace) -> dict[str, Any]:
    judge = trained_judge(given.folder, given.judge)
    folder: Path = given.folder / "selection"
    annotated = {row["problem_id"] for row in read_chunks(given.folder / "chunks")}
    problems = [each for each in problems_of(given.problems, SELECTION_SEED) if each.id not in annotated]
    trees = searched_trees(problems, folder / "trees")
    solved = [tree for tree in trees if right_trajectories(tree)]
    places = {"ppm": folder / "scores-ppm", "judge": folder / f"scores-{given.judge}"}
    scorers = {"ppm": load_step_scorer(PPM), "judge": judge_scorer(judge)}
    scores = {}
    for name, place in places.items():
        place.mkdir(exist_ok=True)
        scores[name] = asyncio.run(step_scores(solved, scorers[name], place))
    own = read_step_format(BASE)
    before = kept_measure(BASE, folder / f"measured-{given.measured}.json", given.measured)
    open_ones = with_a_choice(solved, given.trajectories)
    figures: dict[str, Any] = {
        "judge": given.judge,
        "ppm": PPM,
        "problems": len(trees),
        "solved": len(solved),
        "with_a_choice": len(open_ones),
        "judged_tokens": judged_tokens(places["judge"]),
        "seeds": given.seeds,
        "before": over_seeds([before]),
        "selections": {},
        "judge_minus": {},
    }
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for seed in range(given.seeds):
        chosen = selected(solved, given.trajectories, seed, scores)
        for name in NAMES:
            label = given.judge if name == "judge" else name
            out = folder / f"{label}-{given.problems}x{given.trajectories}-{seed}"
            measured[name].append(trained_and_measured(chosen[name], out, seed, given.measured))
            some, random = (of_problems(chosen[each], open_ones) for each in (name, "outcome"))
            figures["selections"][name] = {
                **about(chosen[name], chosen["outcome"], own),
                "where_they_can": about(some, random, own),
                **over_seeds(measured[name]),
            }
            keep_record(figures, given)
    for name in ("outcome", "mean_q", "ppm"):
        figures["judge_minus"][name] = paired_difference(mean_right(measured["judge"]), mean_right(measured[name]))
    keep_record(figures, given)
    return figures


def main() -> None:
    parser = arguments_of_judge(__doc__, "judge_selection.json")
    parser.add_argument("--problems", type=int, default=60, help="searched training problems of each cell")
    parser.add_argument("--trajectories", type=int, default=1, help="selected ones of each problem, at most")
    parser.add_argument("--measured", type=int, default=40, help="problems to measure with of each cell")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
