"""The configuration of a judge's job: from problems to a trained judge, read from a YAML file.

policy: Qwen/Qwen2.5-1.5B-Instruct
problems: {data: [{name: "jsonl:problems.jsonl", label: mine}]}
segmentation: {segmenter: rules}
annotation: {completions: 16}
training: {mode: grpo}
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from treestar.config.checks import invalid
from treestar.config.job_files import job_from_file
from treestar.judge.config import AnnotationConfig, SegmentationConfig
from treestar.policy.formats import FormatName
from treestar.policy.models import DEFAULT_POLICY
from treestar.reinforcement.job import check_without_rounds
from treestar.reinforcement.judge_stages import RULES
from treestar.selfevolve.job import ProblemsConfig
from treestar.training.judge.config import JudgeTrainingConfig
from treestar.training.sft.config import SFTTrainingConfig

__all__ = ["JudgeJob", "SegmentationStage", "load_judge_job"]


@dataclass(frozen=True, kw_only=True)
class SegmentationStage(SegmentationConfig):
    """The stage that teaches the policy to write in chunks."""

    segmenter: str = RULES
    """`rules`, or the model that marks the chunks of right solutions: a name as for `policy`."""
    training: SFTTrainingConfig = field(default_factory=SFTTrainingConfig)
    """The fine-tuning of the policy on its own solutions in chunks."""

    def alone(self) -> SegmentationConfig:
        """The settings of the data alone, on which it depends."""
        return SegmentationConfig(**{each.name: getattr(self, each.name) for each in fields(SegmentationConfig)})


@dataclass(frozen=True, kw_only=True)
class JudgeJob:
    """A judge of a policy's chunks: their segmentation, labels and the judge's training."""

    policy: str = DEFAULT_POLICY
    """The policy whose chunks are judged: a shipped policy, a model folder, a GGUF file, or a hub id."""
    step_format: FormatName | None = None
    """The step format that it writes in; by default its own."""
    problems: ProblemsConfig
    """Problems with gold answers or unit tests. A job has no rounds, so `from_round` and `to_round` are left out."""
    segmentation: SegmentationStage | None = None
    """For policies that write prose: teach it to write in chunks first. null: a step of the policy is a chunk."""
    annotation: AnnotationConfig = field(default_factory=AnnotationConfig)
    """The labels of the chunks."""
    base: str | None = None
    """The model that the judge is trained from; by default the policy, after segmentation what it has become."""
    analyses: str | None = None
    """A JSON Lines file with analyses for a cold start (see `treestar train judge --analyses`)."""
    training: JudgeTrainingConfig = field(default_factory=JudgeTrainingConfig)
    """The training of the judge."""

    def __post_init__(self) -> None:
        check_without_rounds(self, self.problems)
        if self.analyses is not None and self.training.mode == "discriminative":
            raise invalid(self, "analyses", "left out where the training's mode is discriminative")


def load_judge_job(path: str | Path) -> JudgeJob:
    """The job in a YAML file.

    Raises:
        TreestarError: the file cannot be read or is not a job; the message names the field.
    """
    return job_from_file(JudgeJob, path)
