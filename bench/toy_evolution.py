"""Collect the results of the toy model's self-evolution from its job folder.

    treestar evolve --preset toy --ray local --concurrency 32 --out FOLDER
    python bench/toy_evolution.py FOLDER

From the job's reports: accuracy by cell and round, the cells of the ladder that began at or below .3, the problems that
only PPM-guided rounds solved, seconds and tokens by phase. Measured here, on other problems: which gsm_symbolic
templates without a teacher the bootstrap policy and the last policy solve (10 problems per template), and the accuracy
of both policies on every cell of reasoning-gym (40 problems each), including cells that are not in the job.

Writes bench/results/toy_evolution.json.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from treestar import GreedyConfig, Solver
from treestar.benchmarks.gym import iter_problems, make_problems
from treestar.benchmarks.gym_levels import LEVELS, cells
from treestar.selfevolve.job import Job, load_job
from treestar.selfevolve.job_folder import JOB
from treestar.selfevolve.search_phase import TREES
from treestar.selfevolve.trainings import policy_of, round_folder
from treestar.statistics import bootstrap_intervals
from treestar.storage.files import read_json
from treestar.storage.record import write_record
from treestar.storage.table import Table

CELL = "gsm_symbolic", "untaught"
A_TEMPLATE, A_CELL = 10, 40
PROBLEM_SEED = 55_000
"""Seed of the measured test-split problems; no table of the job uses them."""

REPORTED = ("round", "search", "selection", "evaluation", "phases")

START, END = 0.3, 0.9
"""A cell is a rung of the ladder if it begins at or below the first value; it is climbed at the second."""


def untaught_problems() -> list[Any]:
    wanted = dict.fromkeys(LEVELS[CELL[0]][CELL[1]]["templates"], A_TEMPLATE)
    found = []
    for problem in iter_problems(*CELL, "test", PROBLEM_SEED):
        template = problem.metadata["template"]
        if wanted[template]:
            wanted[template] -= 1
            found.append(problem)
        if not any(wanted.values()):
            return found
    raise AssertionError("the generator never ends")


def accuracy_by_cell(policy: str) -> dict[str, float]:
    """Greedy accuracy on every family and level."""
    problems = [(cell, each) for cell in cells() for each in make_problems(*cell, "test", A_CELL, seed=PROBLEM_SEED)]
    with Solver(policy, GreedyConfig()) as solver:
        right = [bool(result.correct) for result in solver.solve_many([problem for _, problem in problems])]
    by_cell: defaultdict[str, list[bool]] = defaultdict(list)
    for (cell, _), is_right in zip(problems, right, strict=True):
        by_cell["/".join(cell)].append(is_right)
    return {cell: round(float(np.mean(of)), 3) for cell, of in by_cell.items()}


def accuracy_by_template(policy: str) -> dict[str, Any]:
    problems = untaught_problems()
    with Solver(policy, GreedyConfig()) as solver:
        right = [bool(result.correct) for result in solver.solve_many(problems)]
    by_template: defaultdict[str, list[bool]] = defaultdict(list)
    for problem, is_right in zip(problems, right, strict=True):
        by_template[str(problem.metadata["template"])].append(is_right)
    means = {
        template: float(np.mean(of)) for template, of in sorted(by_template.items(), key=lambda each: int(each[0]))
    }
    [[low, high]] = bootstrap_intervals(np.array(list(means.values()))[:, None])
    return {
        "opened": sum(mean >= 0.5 for mean in means.values()),
        "templates": len(means),
        "accuracy": float(np.mean(list(means.values()))),
        "interval_over_templates": [float(low), float(high)],
        "by_template": means,
    }


def only_with_ppm(out: Path, job: Job, rounds: int) -> dict[str, Any]:
    """Problems solved only by PPM-guided rounds, and problems solved only by terminal-guided rounds."""
    searched: defaultdict[str, set[str]] = defaultdict(set)
    solved: defaultdict[str, set[str]] = defaultdict(set)
    cell: dict[str, str] = {}
    for number in range(1, rounds + 1):
        mode = job.rounds[number - 1].mode
        with Table(round_folder(out, number) / TREES.name, TREES) as trees:
            for row in trees.rows(["problem_id", "cell", "solved"]):
                cell[row["problem_id"]] = row["cell"]
                searched[mode].add(row["problem_id"])
                if row["solved"]:
                    solved[mode].add(row["problem_id"])
    by_ppm = solved["ppm"] & searched["terminal"] - solved["terminal"]
    by_terminal = solved["terminal"] & searched["ppm"] - solved["ppm"]
    return {
        "searched_by_both": len(searched["ppm"] & searched["terminal"]),
        "solved_by_ppm_rounds_alone": len(by_ppm),
        "by_cell": dict(Counter(sorted(cell[each] for each in by_ppm))),
        "solved_by_terminal_rounds_alone": len(by_terminal),
    }


def ladder(reports: list[dict[str, Any]]) -> dict[str, Any]:
    greedy = [report["evaluation"]["greedy"] for report in reports]
    rungs = {
        cell: [round(each[cell]["accuracy"], 3) for each in greedy]
        for cell, found in greedy[0].items()
        if found["accuracy"] <= START and cell != "/".join(CELL)
    }
    return {"rungs": rungs, "climbed": sum(values[-1] >= END for values in rungs.values()), "of": len(rungs)}


def costs(reports: list[dict[str, Any]]) -> dict[str, Any]:
    seconds: defaultdict[str, float] = defaultdict(float)
    tokens: defaultdict[str, int] = defaultdict(int)
    for report in reports:
        for phase, cost in report["phases"].items():
            seconds[phase] += cost["seconds"]
            tokens[phase] += cost["generated_tokens"]
    searches = [report["search"] for report in reports if report.get("search")]
    return {
        "minutes": round(sum(seconds.values()) / 60, 1),
        "seconds_by_phase": {phase: round(each) for phase, each in seconds.items()},
        "tokens_by_phase": dict(tokens),
        "tokens_a_problem_by_round": [round(each["generated_tokens"] / each["problems"]) for each in searches],
        "generation_seconds_over_search_seconds_by_round": [
            round(each["generation_seconds"] / each["seconds"], 2) for each in searches
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    out: Path = parser.parse_args().job.resolve()
    job = load_job(out / JOB)
    files = [out / f"round-{number}" / "report.json" for number in range(len(job.rounds) + 1)]
    reports = [read_json(file) for file in files if file.exists()]
    last = len(reports) - 1
    figures = {
        "ladder": ladder(reports),
        "untaught_templates": {str(number): accuracy_by_template(policy_of(job, out, number)) for number in (0, last)},
        "every_cell": {str(number): accuracy_by_cell(policy_of(job, out, number)) for number in (0, last)},
        "coverage": [
            {"solved": each["search"]["solved"], "problems": each["search"]["problems"]} for each in reports[1:]
        ],
        "ppm_guided": only_with_ppm(out, job, last),
        "costs": costs(reports),
        "ppm_pair_accuracy": [each["ppm_training"].get("pair_accuracy") for each in reports[1:]],
        "rounds": [{key: each[key] for key in REPORTED if key in each} for each in reports],
    }
    write_record(
        Path(__file__).parent / "results" / "toy_evolution.json",
        figures,
        seed=PROBLEM_SEED,
        command="python bench/toy_evolution.py FOLDER",
    )


if __name__ == "__main__":
    main()
