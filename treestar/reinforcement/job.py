"""The configuration of a GRPO job: its policy, problems and training, read from a YAML file.

policy: models/base
problems:
  gym:
    - {family: chain_sum, level: mid, problems: 200}
training: {steps: 100, group_size: 8}
evaluation: {cells: [{family: chain_sum, level: mid}], every: 20}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from treestar.config.checks import check_whole
from treestar.config.job_files import job_from_file
from treestar.policy.models import DEFAULT_POLICY
from treestar.selfevolve.job import DataSource, GymSource, HeldOutProblems, ProblemsConfig
from treestar.training.grpo.config import GRPOConfig

__all__ = ["CurveConfig", "GRPOJob", "check_without_rounds", "load_grpo_job"]


@dataclass(frozen=True, kw_only=True)
class CurveConfig(HeldOutProblems):
    """The evaluation along the curve, on problems that are never trained on: greedily, as the finished policy answers,
    and by samples."""

    every: int = 20
    """Steps from one evaluation to the next. The policy is also evaluated before the first step and after the last."""
    samples: int = 0
    """How often each problem is sampled besides, for pass@1 and pass@k."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "every")
        check_whole(self, "samples", at_least=0)


@dataclass(frozen=True, kw_only=True)
class GRPOJob:
    """Reinforcement learning of a policy from the rewards of its own trajectories."""

    policy: str = DEFAULT_POLICY
    """The policy that is trained: a shipped policy, a model folder, a GGUF file, or a hub id."""
    problems: ProblemsConfig
    """Problems with gold answers or unit tests. A job has no rounds, so `from_round` and `to_round` are left out."""
    training: GRPOConfig = field(default_factory=GRPOConfig)
    evaluation: CurveConfig | None = None
    """The evaluation along the curve; null for none."""

    def __post_init__(self) -> None:
        check_without_rounds(self, self.problems)


def check_without_rounds(job: object, problems: ProblemsConfig) -> None:
    """Raise ValueError if a source of problems is only for some rounds."""
    sources: list[GymSource | DataSource] = [*problems.gym, *problems.data]
    for source in sources:
        if source.from_round != 1 or source.to_round is not None:
            raise ValueError(
                f"{type(job).__name__}.problems must have no from_round and to_round: this kind of job has no rounds"
            )


def load_grpo_job(path: str | Path) -> GRPOJob:
    """The job in a YAML file.

    Raises:
        TreestarError: the file cannot be read or is not a job; the message names the field.
    """
    return job_from_file(GRPOJob, path)
