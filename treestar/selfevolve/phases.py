"""The phases of a round. Each is recorded when it is done and then not repeated; an interrupted one continues."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial

from treestar.config.values import config_to_values
from treestar.ppm.pairs import make_pairs
from treestar.selfevolve.job import Measure
from treestar.selfevolve.judged import judged_tokens, step_scores
from treestar.selfevolve.round_evaluation import (
    EVALUATION,
    evaluation_report,
    measure,
    open_measuring_worker,
    unmeasured,
)
from treestar.selfevolve.running import Models, Report, RunningJob, open_table, recorded
from treestar.selfevolve.search_phase import (
    TREES,
    RoundSearch,
    difficulties_of,
    open_search_worker,
    search_report,
    search_round,
    trees_of,
)
from treestar.selfevolve.selection import PAIRS, SFT, TrajectoryKey, pair_rows, select
from treestar.selfevolve.trainings import base_of, policy_of
from treestar.storage.files import read_object, write_json, writing
from treestar.storage.table import Row, Table
from treestar.types import TreestarError

__all__ = ["Round", "measure_bootstrap", "write_job_report"]

REPORT = "report.json"


class Round:
    """One round in its folder. A context manager: leaving it closes its tables.

    Args:
        before: the models that it searches with.
    """

    def __init__(self, run: RunningJob, number: int, before: Models) -> None:
        self.run = run
        self.number = number
        self.before = before
        self.job = run.job
        self.config = run.job.rounds[number - 1]
        self.folder = run.folder(number)
        self.done: dict[str, Report] = {}
        """The records of the finished phases: `report`, `seconds` and `generated_tokens`."""
        self.trees = open_table(run, number, TREES, "search")
        self.selected = open_table(run, number, SFT, "selection")
        self.pairs = open_table(run, number, PAIRS, "selection")
        self.measured = open_table(run, number, EVALUATION, "evaluation")

    def __enter__(self) -> Round:
        return self

    def __exit__(self, *_: object) -> None:
        for table in (self.trees, self.selected, self.pairs, self.measured):
            table.close()

    def phase(self, name: str, work: Callable[[], Report], spending: Table | None = None) -> None:
        """Run the phase `name` unless it is done; see `recorded`."""
        self.done[name] = recorded(self.run, self.number, name, work, spending)

    def search(self) -> Report:
        """Search this round's problems: terminal-guided, or with the PPM of the previous round."""
        if self.config.mode == "ppm" and self.before.ppm is None:
            raise TreestarError(
                f"round {self.number} needs a PPM to search, but no earlier round found preference pairs to train one: "
                "give problems that the policy sometimes solves and sometimes not, or more children or a higher "
                "temperature in the rounds before"
            )
        run = self.run
        search = RoundSearch(self.number, self.config, self.job.selection, self.job.seed)
        opening = partial(
            open_search_worker,
            search,
            run.backends,
            *run.loaded(self.before if self.is_guided else Models(self.before.policy, None)),
            self.job.dtype,
        )

        def on_attempt(rollouts: int | None, problems: int, searched: int, solved: int) -> None:
            place = f"round {self.number} search" + ("" if rollouts is None else f", {rollouts} rollouts")
            run.progress.begin(place, problems, searched, solved)

        async def work() -> None:
            async with run.open_workers(opening) as workers:
                problems = run.training.of_round(self.number)
                await search_round(search, problems, workers, self.trees, on_attempt, run.progress.on_tree)

        asyncio.run(work())
        return search_report(self.trees, self.job.selection, self.solved_before())

    def select(self) -> Report:
        """Select the trajectories to train a policy on, and the pairs to train a PPM on."""
        wanted = None if self.job.sft is None else self.job.sft.step_format
        base = base_of(self.job, self.run.out, self.number)
        self.run.restore(base)
        step_format = self.run.backends.step_format(base, wanted)
        difficulties = difficulties_of(self.trees, self.job.selection)
        selection = select(
            self.number,
            trees_of(self.folder),
            difficulties,
            self.rows_before(),
            self.job.selection,
            step_format,
            self.step_scores(),
        )
        self.selected.replace(selection.rows)
        margin = 0.0 if self.job.ppm is None else self.job.ppm.minimum_margin
        pairs, counts = make_pairs(trees_of(self.folder), minimum_margin=margin)
        self.pairs.replace(pair_rows(self.number, pairs, step_format))
        return {
            "trajectories": selection.added,
            "duplicates": selection.duplicates,
            "false_positives": self.done["search"]["report"]["false_positives"],
            "rows": len(selection.rows),
            "copies": sum(row["copies"] for row in selection.rows),
            **({} if self.job.selection.judge is None else {"judged_tokens": judged_tokens(self.folder)}),
            "pairs": len(pairs),
            "trees_without_pairs": dict(counts.reasons()),
        }

    def step_scores(self) -> dict[TrajectoryKey, float] | None:
        """What the job's judge says of the right trajectories; None without a judge."""
        config = self.job.selection
        if config.judge is None:
            return None
        scorer = self.run.backends.step_scorer(config.judge, self.job.dtype, config.judge_kind)
        return asyncio.run(step_scores(trees_of(self.folder), scorer, self.folder))

    def train_policy(self) -> Report:
        """Fine-tune a checkpoint on all trajectories selected so far."""
        if self.job.sft is None:
            return {"skipped": "no SFT in this job"}
        selected = self.done["selection"]["report"]
        if selected["rows"] and not selected["copies"]:
            raise TreestarError(
                f"round {self.number} has no training data: none of its {selected['rows']:,} trajectories has a copy. "
                "Raise selection.copies for the difficulties that were solved"
            )
        if not selected["copies"]:
            raise TreestarError(
                f"round {self.number} has no training data: none of its problems is solved. Start with "
                "problems that the policy sometimes solves, or use more rollouts"
            )
        return self.run.train("policy", self.number)

    def train_ppm(self) -> Report:
        """Train a PPM on trees of this round, starting from this round's policy."""
        if self.job.ppm is None:
            return {"skipped": "no PPM in this job"}
        if not self.done["selection"]["report"]["pairs"]:
            return {"skipped": "no preference pairs, so no PPM"}
        return self.run.train("ppm", self.number)

    def evaluate(self) -> Report:
        """Evaluate the new policy without search and with the new PPM, and that PPM with the policy of round 1."""
        new = self.trained
        fixed = Models(policy_of(self.job, self.run.out, 1), new.ppm)
        wanted: dict[Measure, Models] = {"greedy": Models(new.policy, None), "search": new}
        if new.ppm is not None and fixed != new:
            wanted["ppm_fixed_policy"] = fixed
        report = measure_models(self.run, self.number, self.measured, wanted)
        if new.ppm is not None and fixed == new and "search" in report:
            report["ppm_fixed_policy"] = report["search"]  # the same models, so the same searches
        return report

    def write_report(self) -> None:
        """Write report.json."""
        write_round_report(
            self.run,
            self.number,
            self.done,
            {
                "mode": self.config.mode,
                "policy": self.run.name_in_job(self.before.policy),
                "ppm": self.run.name_in_job(self.before.ppm) if self.is_guided else None,
                "settings": {**config_to_values(self.config), "search": self.config.search.to_json()},
                "search": self.done["search"]["report"],
                "selection": self.done["selection"]["report"],
                "sft": self.done["sft"]["report"],
                "ppm_training": self.done["ppm"]["report"],
                "evaluation": self.done["evaluation"]["report"],
            },
        )

    @property
    def is_guided(self) -> bool:
        """Whether a PPM guides this round's searches."""
        return self.config.mode == "ppm"

    @property
    def trained(self) -> Models:
        """The models of the next round's searches."""
        has_ppm = "skipped" not in self.done["ppm"]["report"]
        policy = policy_of(self.job, self.run.out, self.number)
        return Models(policy, str(self.folder / "ppm") if has_ppm else self.before.ppm)

    def solved_before(self) -> set[str]:
        """The problems that earlier rounds solved."""
        solved: set[str] = set()
        for number in range(1, self.number):
            with Table(self.run.folder(number) / TREES.name, TREES) as trees:
                solved |= {row["problem_id"] for row in trees.rows(["problem_id", "solved"]) if row["solved"]}
        return solved

    def rows_before(self) -> list[Row]:
        """The trajectories selected by the previous round."""
        if self.number == 1:
            return []
        with Table(self.run.folder(self.number - 1) / SFT.name, SFT) as table:
            return list(table.rows())


def measure_bootstrap(run: RunningJob) -> None:
    """Round 0: evaluate the bootstrap policy, with and without search."""
    if run.job.evaluation is None:
        return
    models = Models(run.job.bootstrap, None)
    with open_table(run, 0, EVALUATION, "evaluation") as table:
        done = recorded(
            run, 0, "evaluation", lambda: measure_models(run, 0, table, {"greedy": models, "search": models}), table
        )
    report = {"mode": None, "policy": models.policy, "ppm": None, "settings": {}, "evaluation": done["report"]}
    write_round_report(run, 0, {"evaluation": done}, report)


def measure_models(run: RunningJob, number: int, table: Table, wanted: Mapping[Measure, Models]) -> Report:
    """Evaluate the `wanted` measures that the job requests, into `table`; returns accuracy by measure and cell."""
    config = run.job.evaluation
    if config is None:
        return {}

    async def work(name: Measure, models: Models) -> None:
        opening = partial(open_measuring_worker, name, config, run.backends, *run.loaded(models), run.job.dtype)
        async with run.open_workers(opening) as workers:
            await measure(name, config, run.measured, workers, table, run.progress.on_measured)

    for name, models in wanted.items():
        left = len(unmeasured(name, config, run.measured, table))
        if name in config.measures and left:
            run.progress.begin(f"round {number} evaluation, {name.replace('_', ' ')}", left)
            asyncio.run(work(name, models))
    table.seal()
    return evaluation_report(table)


def write_round_report(run: RunningJob, number: int, done: Mapping[str, Report], found: Report) -> None:
    """Write a round's report.json, unless it is already up to date."""
    costs = {name: {key: phase[key] for key in ("seconds", "generated_tokens")} for name, phase in done.items()}
    report = json.loads(json.dumps({"round": number, **found, "phases": costs}))
    path = run.folder(number) / REPORT
    if read_object(path) != report:
        with writing(path):
            write_json(path, report)


def write_job_report(run: RunningJob) -> None:
    """Write report.md and progress.png from the reports of all rounds so far, unless they are up to date."""
    from treestar.selfevolve.report import PICTURE, TEXT, write_report

    files = sorted(run.out.glob(f"round-*/{REPORT}"))
    written = [run.out / name for name in (TEXT, PICTURE)]
    newest = max(file.stat().st_mtime_ns for file in files)
    if not all(file.exists() and file.stat().st_mtime_ns >= newest for file in written):
        with writing(run.out):
            write_report([report for file in files if (report := read_object(file)) is not None], run.out)
