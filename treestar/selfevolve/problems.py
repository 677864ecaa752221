"""The training problems and the evaluation problems of a job, which are disjoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from treestar.benchmarks.datasets import load_problems, read_set
from treestar.benchmarks.gym import make_problems, reworded
from treestar.benchmarks.gym_levels import LEVELS
from treestar.selfevolve.job import DataSource, GymSource, HeldOutProblems, ProblemsConfig
from treestar.types import Problem, TreestarError

__all__ = ["TrainingProblems", "cell_of", "evaluation_problems", "problem_of_set", "sources_named", "training_problems"]

TRAINING_SEED = 1000
"""reasoning-gym's set number for training problems is this plus the job's seed, so that they differ from the problems
that the bootstrap policy was taught."""

EVALUATION_SEED = 30_000
"""The set number for evaluation problems, for every seed of a job."""


@dataclass(frozen=True)
class TrainingProblems:
    """The problems that a job searches, by round."""

    by_source: Sequence[tuple[GymSource | DataSource, tuple[Problem, ...]]]
    duplicates: int
    """Number of problems left out because of a duplicate question."""
    evaluated: int
    """Number of problems left out because their question is in the evaluation."""

    def of_round(self, number: int) -> list[Problem]:
        """The problems that round `number`, from 1, searches."""
        return [
            problem
            for source, problems in self.by_source
            if source.from_round <= number <= (source.to_round or number)
            for problem in problems
        ]

    def __str__(self) -> str:
        total = sum(len(problems) for _, problems in self.by_source)
        return (
            f"{total:,} training problems; left out {self.duplicates:,} duplicates and {self.evaluated:,} that are "
            "used for evaluation"
        )


def training_problems(
    wanted: ProblemsConfig, seed: int, measured: Iterable[Problem], kinds: Collection[str] = ("math",)
) -> TrainingProblems:
    """The training problems of a job with that seed, without those in `measured`.

    Their ids are distinct. `metadata["cell"]` is their label in reports.

    Raises:
        TreestarError: a source cannot be loaded, contains problems of another kind than `kinds`, or two problems have
            the same id.
    """
    held_out = {key_of(problem) for problem in measured}
    seen: set[str] = set()
    ids: set[str] = set()
    by_source: list[tuple[GymSource | DataSource, tuple[Problem, ...]]] = []
    duplicates = evaluated = 0
    sources: list[GymSource | DataSource] = [*wanted.gym, *wanted.data]
    for source in sources:
        kept = []
        found = gym_problems(source, seed) if isinstance(source, GymSource) else data_problems(source, kinds)
        for problem in found:
            key = key_of(problem)
            duplicates += key in seen
            evaluated += key in held_out
            if key not in seen and key not in held_out:
                if problem.id in ids:
                    raise TreestarError(
                        f"two training problems have the id {problem.id!r}: give the sources different labels, or the "
                        "lines of a file different ids"
                    )
                ids.add(problem.id)
                kept.append(problem)
            seen.add(key)
        by_source.append((source, tuple(kept)))
    return TrainingProblems(by_source, duplicates, evaluated)


def sources_named(names: Sequence[str], limit: int) -> ProblemsConfig:
    """The sources of training problems with these names, as on the command line.

    Args:
        names: `rg:FAMILY[:LEVEL]` for reasoning-gym's training split, by default of every level; `jsonl:PATH`, or
            `hf:NAME[:CONFIG]@SPLIT`.
        limit: maximum number of problems of each source; a family's levels share it evenly.

    Raises:
        TreestarError: a name is not one of these.
    """
    gym: list[GymSource] = []
    data: list[DataSource] = []
    try:
        for name in names:
            kind, _, rest = name.partition(":")
            if kind != "rg":
                data.append(DataSource(name=name, label=name, problems=limit))
                continue
            family, _, level = rest.partition(":")
            levels = [level] if level else list(LEVELS.get(family, {"": 0}))
            gym += [GymSource(family=family, level=each, problems=max(1, limit // len(levels))) for each in levels]
    except ValueError as error:
        raise TreestarError(f"no training problems named {name!r}: {error}") from error
    return ProblemsConfig(gym=tuple(gym), data=tuple(data))


def evaluation_problems(config: HeldOutProblems | None) -> Mapping[str, Sequence[Problem]]:
    """The evaluation problems of a job, by cell or set.

    Raises:
        TreestarError: a set cannot be loaded.
    """
    found: dict[str, Sequence[Problem]] = {}
    if config is None:
        return found
    for cell in config.cells:
        name = f"{cell.family}/{cell.level}"
        found[name] = make_gym_problems(cell.family, cell.level, config.split, config.problems, EVALUATION_SEED)
    for name in config.sets:
        problems = load_problems(name, limit=config.problems).problems
        found[name] = [problem_of_set(problem, name, name) for problem in problems]
    return found


def cell_of(problem: Problem) -> str:
    """The label of a job's problem: `FAMILY/LEVEL`, or the label of its data set."""
    return str(problem.metadata["cell"])


def gym_problems(source: GymSource, seed: int) -> list[Problem]:
    problems = make_gym_problems(source.family, source.level, "train", source.problems, TRAINING_SEED + seed)
    if not source.reworded:
        return problems
    return [
        replace(problem, question=reworded(problem.question, Random(problem.id)), id=f"{problem.id}-reworded")
        for problem in problems
    ]


def make_gym_problems(family: str, level: str, split: str, count: int, seed: int) -> list[Problem]:
    try:
        problems = make_problems(family, level, split, count, seed)  # type: ignore[arg-type]  # split is checked there
    except (ImportError, ValueError) as error:
        raise TreestarError(f"problems of {family}/{level}: {error}") from error
    return [problem_of_set(problem, f"{family}/{level}") for problem in problems]


def data_problems(source: DataSource, kinds: Collection[str]) -> list[Problem]:
    problems = read_set(source.name)
    for problem in problems:
        if problem.kind not in kinds:
            raise TreestarError(
                f"problem {problem.id!r} of {source.name} is not a {' or '.join(kinds)} problem: remove it"
            )
    return [problem_of_set(problem, source.label, source.label) for problem in problems[: source.problems]]


def problem_of_set(problem: Problem, cell: str, prefix: str | None = None) -> Problem:
    """`problem` with its cell, and with `prefix` before its id if ids are only unique within their set."""
    name = problem.id if prefix is None else f"{prefix}-{problem.id}"
    return replace(problem, id=name, metadata={**problem.metadata, "cell": cell})


def key_of(problem: Problem) -> str:
    """The key of a question, independent of line breaks."""
    return " ".join(problem.question.split())
