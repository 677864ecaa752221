"""The configuration of a self-evolution job: its policies, problems and rounds, read from a YAML file.

    bootstrap: models/bootstrap
    base: models/base
    problems:
      gym:
        - {family: chain_sum, level: mid, problems: 60}
    rounds:
      - {mode: terminal, search: {max_rollouts: 16}}
      - {mode: ppm, search: {max_rollouts: 16}, escalation: [{max_rollouts: 64}, {max_rollouts: 128}]}

The files in `presets/` are examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from treestar.benchmarks.gym_levels import LEVELS
from treestar.config.checks import check_choice, check_number, check_whole, invalid
from treestar.config.job_files import job_from_file
from treestar.config.names import unknown_name
from treestar.config.renamed import AcceptsOldNames, silently, warn_of_renaming
from treestar.policy.formats import FormatName
from treestar.policy.models import DEFAULT_POLICY, Dtype
from treestar.ppm.public import JUDGE_KIND, ScorerKind
from treestar.search import MCTSConfig
from treestar.selfevolve.bound import ExplorationConfig
from treestar.selfevolve.job_folder import JOB
from treestar.training.ppm.config import PPMTrainingConfig, check_training_arguments
from treestar.training.sft.config import SFTTrainingConfig
from treestar.types import TreestarError

__all__ = [
    "Copies",
    "DataSource",
    "Escalation",
    "EvaluationCell",
    "EvaluationConfig",
    "GymSource",
    "HeldOutProblems",
    "Job",
    "Measure",
    "Mode",
    "ProblemsConfig",
    "RoundConfig",
    "SelectionConfig",
    "begun_job",
    "load_as",
    "load_job",
    "preset_names",
    "preset_note",
    "preset_path",
]

PRESETS = Path(__file__).parent / "presets"

MODEL = "{model}"
"""The placeholder for a model's folder in `Job.load_as`."""

Mode = Literal["terminal", "ppm"]
"""The guidance of a search: only the verifier's verdict on finished trajectories, or also a PPM at every step."""

Measure = Literal["greedy", "search", "ppm_fixed_policy"]
"""The evaluation after a round: its policy without search (the paper's Table 3); its policy and PPM with search
(Table 6); its PPM with the policy of round 1 (Table 4)."""


@dataclass(frozen=True, kw_only=True)
class GymSource:
    """Training problems of one cell of reasoning-gym, drawn from the training split."""

    family: str
    level: str
    problems: int
    reworded: bool = False
    """Whether to ask for expressions in the other wordings that the bootstrap policy was taught ("What is 2 + 3?"). A
    policy that rarely sees them again forgets them."""
    from_round: int = 1
    """The first round that searches them."""
    to_round: int | None = None
    """The last one; without a number, the job's last."""

    def __post_init__(self) -> None:
        check_cell(self)
        check_whole(self, "problems", "from_round", "to_round")


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Training problems of a file or a data set. Those without an answer are judged by agreement."""

    name: str
    """`jsonl:PATH`, or `hf:NAME[:CONFIG]@SPLIT`."""
    label: str
    """The label of the problems in reports, such as `olympiad`."""
    problems: int | None = None
    """Only this many problems, the first ones."""
    from_round: int = 1
    """The first round that searches them."""
    to_round: int | None = None
    """The last one; without a number, the job's last."""

    def __post_init__(self) -> None:
        kind, _, rest = self.name.partition(":")
        if kind not in ("jsonl", "hf") or not rest:
            raise invalid(self, "name", "jsonl:PATH or hf:NAME[:CONFIG]@SPLIT; the named sets are only for evaluation")
        split = rest.partition("@")[2]
        if kind == "hf" and (not split or re.search(r"\btest\b", split)):
            raise invalid(self, "name", "with a split other than test, as in hf:openai/gsm8k:main@train")
        check_whole(self, "problems", "from_round", "to_round")


@dataclass(frozen=True, kw_only=True)
class ProblemsConfig:
    """The sources of the training problems."""

    gym: tuple[GymSource, ...] = ()
    data: tuple[DataSource, ...] = ()

    def __post_init__(self) -> None:
        if not self.gym and not self.data:
            raise ValueError("ProblemsConfig.gym and .data are both empty: a job needs training problems")


@dataclass(frozen=True, kw_only=True)
class Escalation(AcceptsOldNames):
    """One more search, with new seeds, of each problem that is still unsolved."""

    max_rollouts: int
    temperature: float | None = None
    """By default the round's."""
    exploration: ExplorationConfig | None = None
    """By default the round's."""

    def __post_init__(self) -> None:
        check_whole(self, "max_rollouts")


@dataclass(frozen=True, kw_only=True)
class RoundConfig:
    """The searches of one round. Selection and training are the same in all rounds."""

    mode: Mode
    search: MCTSConfig = field(default_factory=lambda: MCTSConfig(gold=True, early_stop=False))
    """The search of every problem."""
    escalation: tuple[Escalation, ...] = ()
    """Further searches of the problems that are still unsolved, in order."""
    exploration: ExplorationConfig | None = None
    """Takes a share of the proposals from a grammar instead of the policy; off by default."""

    def __post_init__(self) -> None:
        if not self.search.gold:
            raise ValueError("RoundConfig.search.gold must be true: trees without verdicts give no training data")

    def attempts(self) -> tuple[MCTSConfig, ...]:
        """The searches in order: of every problem, then of those still unsolved."""
        further = [
            replace(
                self.search,
                max_rollouts=each.max_rollouts,
                temperature=self.search.temperature if each.temperature is None else each.temperature,
            )
            for each in self.escalation
        ]
        return self.search, *further

    def explorations(self) -> tuple[ExplorationConfig | None, ...]:
        """The exploration of each of `attempts`."""
        return self.exploration, *(each.exploration or self.exploration for each in self.escalation)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Copies of a trajectory in an epoch of SFT, by its problem's difficulty. 0.5: every other trajectory."""

    easy: float = 1.0
    medium: float = 1.0
    hard: float = 4.0

    def __post_init__(self) -> None:
        check_number(self, "easy", "medium", "hard", at_least=0)


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Which trajectories of a round's trees are accepted as right, and which become training data."""

    trajectories: int = 2
    """Maximum number of trajectories per problem and round, those with the highest mean Q."""
    easy_from: float = 0.8
    """A problem is easy if at least this share of its finished trajectories is right."""
    hard_up_to: float = 0.2
    """It is hard if it was solved by at most this share of them; medium in between."""
    copies: Copies = field(default_factory=Copies)
    """Rebalances the difficulties."""
    agreement: float = 0.3
    """Without a gold answer, the most frequent answer counts as right if at least this share of the trajectories, by
    sampled mass, agrees on it (3 of 10 in the paper)."""
    agreeing: int = 3
    """And at least this many trajectories."""
    instances: int = 3
    """A right answer counts only if the trajectory's program is right on this many other instances of the problem, if
    its source has any; 0 turns this check off."""
    agreeing_programs: int = 1
    """If a source has no other instances: the number of different programs that must reach the right answer."""
    judge: str | None = None
    """Take the right trajectories whose steps have the highest mean score, not those with the highest mean Q. A name as
    for `--scorer`, with a judge's settings behind it."""
    judge_kind: ScorerKind | None = JUDGE_KIND
    """The kind of scorer that `judge` is; unset, it is recognized from its files."""

    def __post_init__(self) -> None:
        check_whole(self, "trajectories", "agreeing", "agreeing_programs")
        check_whole(self, "instances", at_least=0)
        if not 0 <= self.hard_up_to < self.easy_from <= 1:
            raise ValueError(
                "SelectionConfig.hard_up_to must be at least 0 and less than easy_from, which is at most 1, "
                f"not {self.hard_up_to!r} and {self.easy_from!r}"
            )
        check_number(self, "agreement", above=0, at_most=1)
        check_choice(self, "judge_kind")


@dataclass(frozen=True, kw_only=True)
class EvaluationCell:
    """A cell of reasoning-gym to evaluate on."""

    family: str
    level: str

    def __post_init__(self) -> None:
        check_cell(self)


@dataclass(frozen=True, kw_only=True)
class HeldOutProblems:
    """Problems to evaluate on, which are never trained on."""

    cells: tuple[EvaluationCell, ...] = ()
    split: Literal["validation", "test"] = "test"
    """The cells' split; use `validation` to tune a job."""
    sets: tuple[str, ...] = ()
    """Data sets, by the names that `treestar bench` accepts."""
    problems: int = 40
    """Maximum number of problems per cell or set."""

    def __post_init__(self) -> None:
        if not self.cells and not self.sets:
            raise ValueError(f"{type(self).__name__}.cells and .sets are both empty: give at least one")
        check_whole(self, "problems")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(HeldOutProblems):
    """The evaluation after each round, and of the bootstrap policy before the first, on problems never trained on."""

    seeds: int = 1
    """Number of searches per problem."""
    search: MCTSConfig = field(default_factory=MCTSConfig)
    """The search at test time, without gold answers."""
    measures: tuple[Measure, ...] = ("greedy", "search", "ppm_fixed_policy")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "seeds")
        if self.search.gold:
            raise ValueError("EvaluationConfig.search.gold must be false: an evaluation must not use gold answers")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Self-evolution from a bootstrap policy over several rounds (rStar-Math, section 3.4)."""

    bootstrap: str = DEFAULT_POLICY
    """The policy that searches in round 1: a shipped policy, a model folder, a hub id, or openai:MODEL@URL."""
    base: str = DEFAULT_POLICY
    """The checkpoint from which every round's SFT starts."""
    continue_policy: bool = False
    """Continue SFT from the policy of the previous round instead."""
    step_format: FormatName | None = None
    """How the bootstrap policy writes its steps; by default recognized from its files. Trained policies know theirs."""
    problems: ProblemsConfig
    rounds: tuple[RoundConfig, ...]
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    sft: SFTTrainingConfig | None = field(default_factory=SFTTrainingConfig)
    """How a policy is fine-tuned; null turns SFT off and keeps the bootstrap policy."""
    ppm: PPMTrainingConfig | None = field(default_factory=PPMTrainingConfig)
    """How a PPM is trained; null trains none."""
    continue_ppm: bool = False
    """Continue training from the PPM of the previous round instead of starting from the round's policy."""
    ppm_rounds: int = 1
    """Number of rounds, the latest ones, whose trees a PPM is trained on."""
    ppm_training_arguments: Mapping[str, Any] = field(default_factory=dict)
    """More fields of `transformers.TrainingArguments` for the PPM, such as `fsdp`."""
    launcher: str = ""
    """The command that launches training on several devices, such as `accelerate launch --num_processes 8`. If unset,
    training runs in this process."""
    evaluation: EvaluationConfig | None = None
    """The evaluation of each round; null for none."""
    load_as: str = MODEL
    """The name by which searches load a model trained by the job, with its folder as {model}: `vllm:{model}` runs it
    with vLLM, `vllm:{model}?gpu_memory_utilization=0.4` next to another one on the same device."""
    dtype: Dtype | None = None
    """The data type of the models in searches; by default a fast one on the device. In float32 a tree very rarely
    depends on the rest of the batch."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole(self, "ppm_rounds")
        check_whole(self, "seed", at_least=0)
        check_training_arguments(self.ppm_training_arguments, "Job.ppm_training_arguments")
        if MODEL not in self.load_as:
            raise invalid(self, "load_as", f"a text with {MODEL} in it")
        if not self.rounds:
            raise ValueError("Job.rounds is empty: a job needs at least one round")
        for index, each in enumerate(self.rounds):
            if each.mode == "ppm" and (index == 0 or self.ppm is None):
                raise ValueError(f"Job.rounds[{index}].mode is ppm, but no PPM is trained before it")


def load_as(job: Job, model: str, out: Path) -> str:
    """The name by which a search loads `model`; `load_as` applies to models that the job trained in `out`."""
    return job.load_as.replace(MODEL, model) if Path(model).is_relative_to(out) else model


def load_job(path: str | Path, tell: Callable[[str, str], None] = warn_of_renaming) -> Job:
    """The job in a YAML file; see `job_from_file`."""
    return job_from_file(Job, path, tell)


def begun_job(out: Path) -> Job:
    """The job that treestar wrote into the folder `out`. Raises TreestarError as `load_job` does."""
    return load_job(out / JOB, tell=silently)


def preset_names() -> list[str]:
    """The presets that come with the package."""
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """A preset's file. Raises TreestarError if the preset does not exist."""
    if name not in preset_names():
        raise TreestarError(unknown_name("preset", name, preset_names()))
    return PRESETS / f"{name}.yaml"


def preset_note(name: str) -> str:
    """What the comment at the top of a preset's file says about it."""
    lines = preset_path(name).read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines))


def check_cell(config: GymSource | EvaluationCell) -> None:
    if config.family not in LEVELS:
        raise invalid(config, "family", f"one of {', '.join(LEVELS)}")
    if config.level not in LEVELS[config.family]:
        raise invalid(config, "level", f"one of {', '.join(LEVELS[config.family])} for {config.family}")
