"""The settings of a judge's data, as dataclasses that validate themselves. Command-line options and fields of jobs come
from them."""

from __future__ import annotations

from dataclasses import dataclass

from treestar.config.checks import check_number, check_whole
from treestar.judge.labels import LabelConfig
from treestar.search.baselines import unchanged_sampling
from treestar.search.config import SamplesConfig

__all__ = ["AnnotationConfig", "ResponsesConfig", "SegmentationConfig"]


@dataclass(frozen=True, kw_only=True)
class ResponsesConfig:
    """How the policy's solutions are sampled."""

    responses: int = 16
    """Solutions sampled for each problem, which give its pass rate. Problems that are always or never solved are
    dropped."""
    temperature: float = 1.0
    """The sampling temperature."""
    max_depth: int | None = None
    """Maximum number of steps per solution; by default what suits the step format."""
    max_step_tokens: int | None = None
    """Maximum number of tokens per step; by default what suits the step format."""
    seed: int = 0
    """Seed of all random draws."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        check_whole(self, "responses", at_least=2)
        check_whole(self, "max_depth", "max_step_tokens")
        check_number(self, "temperature", above=0)

    def sampling(self, count: int) -> SamplesConfig:
        """A search of `count` solutions by the policy as it is: nothing else changes its probabilities."""
        return unchanged_sampling(count, self.temperature, self.max_depth, self.max_step_tokens)


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(ResponsesConfig):
    """How right solutions are sampled and cut into chunks."""

    solutions: int = 4
    """Maximum number of right solutions for each problem."""
    tries: int = 8
    """Maximum number of times a segmenting model is asked about a solution, until its reply has exactly that text."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        check_whole(self, "solutions", "tries")


@dataclass(frozen=True, kw_only=True)
class AnnotationConfig(ResponsesConfig, LabelConfig):
    """How solutions are sampled and their chunks are labeled by completions (StepWiser, arXiv 2508.19229)."""

    completions: int = 16
    """Completions from the end of each chunk, M."""
    trajectories: int = 4
    """Maximum number of solutions of each problem whose chunks are labeled; wrong and right ones alternate."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        ResponsesConfig.__post_init__(self)
        LabelConfig.__post_init__(self)
        check_whole(self, "completions", "trajectories")
