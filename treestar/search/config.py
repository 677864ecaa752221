"""All settings of the search strategies, as frozen dataclasses that validate themselves.

The command-line options and the fields of YAML jobs come from these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import inf, isfinite, isnan
from typing import Any, ClassVar, Literal, TypeVar

from treestar.config.checks import check_choice, check_number, check_whole, invalid
from treestar.search.answer import Choice
from treestar.search.budget import Budget, check_ends
from treestar.search.selection import Rule
from treestar.types import Recommended, Sampling, ThinkingBudget

__all__ = [
    "AdaptiveBranchingConfig",
    "AdaptiveConsistencyConfig",
    "BeamSearchConfig",
    "BestOfNConfig",
    "ChunkResetConfig",
    "DVTSConfig",
    "DeepConfConfig",
    "ESCConfig",
    "GreedyConfig",
    "MCTSConfig",
    "MajorityConfig",
    "SamplesConfig",
    "SamplingConfig",
    "SearchConfig",
    "TreeSearchConfig",
    "WeightedVoteConfig",
    "WindowsConfig",
    "settled",
]

THINKING = ("max_thinking_tokens", "min_thinking_tokens", "waits")

ConfigT = TypeVar("ConfigT", bound="SearchConfig")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Budget):
    """The settings of every strategy: the limits of a path, and the budget of a search.

    Raises:
        ValueError: a setting's value is not allowed; the message names the field, the value and what is allowed.
    """

    ppm: ClassVar[Literal["unused", "optional", "needed"]] = "unused"
    """Whether the strategy can or must have a PPM to guide it."""

    max_depth: int | None = None
    """Maximum number of steps per trajectory. If unset: what suits the step format, 16 for steps of code."""
    max_step_tokens: int | None = None
    """Maximum number of tokens per step. If unset: what suits the step format, 256 for steps of code."""
    max_thinking_tokens: int | None = None
    """For models that think: maximum number of tokens per thought. Then the thought is ended and the model answers."""
    min_thinking_tokens: int | None = None
    """For models that think: a thought that ends before this many tokens is continued with `Wait`."""
    waits: int | None = None
    """For models that think: how many times a thought that ends is continued with `Wait`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "max_depth", "max_step_tokens")
        check_whole(self, "max_thinking_tokens", "min_thinking_tokens", "waits", at_least=0)

    def completed(self: ConfigT, recommended: Recommended) -> ConfigT:
        """This configuration, with the recommended values for fields of these names that are unset."""
        names = [each.name for each in fields(recommended)]
        unset = {name: getattr(recommended, name) for name in names if vars(self).get(name, ...) is None}
        return type(self)(**vars(self) | unset)

    def sampling(self) -> Sampling:
        """How the policy samples steps with this configuration, which is `completed`."""
        return Sampling(0.0, 1.0, settled(self.max_step_tokens), thinking=self.thinking())

    def thinking(self) -> ThinkingBudget | None:
        """How long a model that thinks may and must think; None if that is left to the model."""
        limits = (self.max_thinking_tokens, self.min_thinking_tokens, self.waits)
        if limits == (None, None, None):
            return None
        return ThinkingBudget(max_tokens=limits[0], min_tokens=limits[1] or 0, waits=limits[2] or 0)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; infinity becomes a string, because JSON has no number for it. Those of a thinking
        budget are left out without one, as in files from before there was one."""
        return {
            name: str(value) if isinstance(value, float) and not isfinite(value) else value
            for name, value in vars(self).items()
            if value is not None or name not in THINKING
        }


@dataclass(frozen=True, kw_only=True)
class GreedyConfig(SearchConfig):
    """One trajectory: the most probable token at every position."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(SearchConfig):
    """A strategy that samples steps at random."""

    temperature: float | None = None
    """1 samples from the policy as it is; 0 takes the most probable token at every position. If unset: what the model's
    files or its family recommend, else 1."""
    top_p: float | None = None
    """Sample only from the most probable tokens that together reach this probability. If unset: the model's own."""
    top_k: int | None = None
    """Sample only from this many most probable tokens; 0: from all. If unset: the model's own."""
    min_p: float | None = None
    """Sample only tokens at least this fraction as probable as the most probable one. If unset: the model's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "temperature", at_least=0)
        check_number(self, "top_p", above=0, at_most=1)
        check_whole(self, "top_k", at_least=0)
        check_number(self, "min_p", at_least=0, below=1)

    def sampling(self) -> Sampling:
        return Sampling(
            settled(self.temperature),
            settled(self.top_p),
            settled(self.max_step_tokens),
            top_k=settled(self.top_k),
            min_p=settled(self.min_p),
            thinking=self.thinking(),
        )


@dataclass(frozen=True, kw_only=True)
class SamplesConfig(SamplingConfig):
    """Independent trajectories."""

    samples: int = 16
    """Number of trajectories to sample."""
    in_flight: int = 16
    """Trajectories sampled at the same time. With a token budget, fewer leave less work unfinished at its end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "samples", "in_flight")


@dataclass(frozen=True, kw_only=True)
class MajorityConfig(SamplesConfig):
    """The answer that most of the sampled trajectories agree on (self-consistency; Wang et al. 2022)."""


@dataclass(frozen=True, kw_only=True)
class BestOfNConfig(SamplesConfig):
    """The answer of the sampled trajectory with the highest PPM score, or mean log-probability without a PPM."""

    ppm: ClassVar = "optional"


@dataclass(frozen=True, kw_only=True)
class WeightedVoteConfig(SamplesConfig):
    """The answer whose sampled trajectories have the highest sum of e^score (weighted voting; Li et al. 2023)."""

    ppm: ClassVar = "needed"


@dataclass(frozen=True, kw_only=True)
class WindowsConfig(SamplingConfig):
    """Independent trajectories, sampled window by window until the votes decide; their majority is the answer."""

    samples: int = 40
    """Maximum number of trajectories to sample."""
    window: int = 1
    """Trajectories sampled at the same time. Between two windows the votes are checked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "samples", "window")


@dataclass(frozen=True, kw_only=True)
class AdaptiveConsistencyConfig(WindowsConfig):
    """Sampling stops once the leading answer will probably stay ahead (Aggarwal et al. 2023)."""

    stay_probability: float = 0.95
    """Stop once the probability that the leading answer stays ahead of the second one is above this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Without votes it is 1/2, and never less: below that, searches would stop before their first answer.
        check_number(self, "stay_probability", at_least=0.5, below=1)


@dataclass(frozen=True, kw_only=True)
class ESCConfig(WindowsConfig):
    """Early-stopping self-consistency (Li et al. 2024): sampling stops after a window that agrees."""

    window: int = 5


@dataclass(frozen=True, kw_only=True)
class DeepConfConfig(WindowsConfig):
    """Trajectories are stopped where the model becomes unsure, and votes weighted by how sure it was (Fu et al. 2025).
    Needs a policy that gives the confidence of tokens: transformers, vLLM, and servers with `top_logprobs`."""

    samples: int = 64
    window: int = 16
    warmup: int = 16
    """Trajectories sampled to the end first. They determine what counts as unsure."""
    keep_share: float = 0.1
    """The share of the warm-up trajectories that are sure enough; others are discarded, and later ones stopped."""
    group_tokens: int = 2048
    """Confidence is averaged over this many tokens; a trajectory is as sure as its least sure such group."""
    consensus: float = 0.95
    """Stop once the leading answer has this share of the weight."""
    confidence_top: int = 20
    """Most probable tokens at each position from which its confidence is computed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "warmup", "group_tokens", "confidence_top")
        check_number(self, "keep_share", above=0, at_most=1)
        check_number(self, "consensus", above=0, at_most=1)

    def sampling(self) -> Sampling:
        return replace(super().sampling(), confidence_top=self.confidence_top)


@dataclass(frozen=True, kw_only=True)
class ChunkResetConfig(SamplingConfig):
    """Trajectories whose steps are sampled again until the scorer accepts them (Xiong et al. 2025); their majority is
    the answer."""

    ppm: ClassVar = "needed"

    attempts: int = 5
    """Maximum number of times a step is sampled at one place; the last one is accepted whatever its score."""
    accept_from: float = 0.0
    """Accept a step if its score is at least this; 0 if it is as probably right as wrong."""
    samples: int | None = None
    """Number of trajectories. If unset (chunk_reset): one, or with `max_generated_tokens` as many as that allows."""
    in_flight: int = 4
    """Trajectories that grow at the same time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "attempts", "samples", "in_flight")
        check_number(self, "accept_from", at_least=-1, at_most=1)
        if self.temperature == 0:
            raise invalid(self, "temperature", "above 0, because a step that is sampled again would be the same")


@dataclass(frozen=True, kw_only=True)
class TreeSearchConfig(SamplingConfig):
    """A strategy whose trajectories share steps, and which can select its answer in several ways."""

    choice: Choice = "weighted"
    """How the answer is selected: the group with the largest weight (sampled mass and PPM score), the group with most
    trajectories, or the single best trajectory."""
    distinct: bool = False
    """Sample candidates without replacement, so that none is repeated however certain the policy is. Only with models
    that run on transformers."""
    min_share: float = 0.0
    """Skip distinct candidates less than this times as probable as the most probable one, so that no tokens are spent
    on alternatives if the policy is certain. An exhausted tree adds them later."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "choice")
        if self.distinct and self.temperature == 0:
            raise invalid(self, "temperature", "above 0 if candidates are distinct")
        check_number(self, "min_share", at_least=0, below=1)

    def sampling(self) -> Sampling:
        return replace(super().sampling(), distinct=self.distinct, min_share=self.min_share)


@dataclass(frozen=True, kw_only=True)
class RoundsConfig(TreeSearchConfig):
    """Beams of steps, scored by a PPM; a round ends when no state of a beam is open."""

    ppm: ClassVar = "needed"

    children: int = 4
    """Candidate steps sampled at each expansion."""
    rounds: int | None = None
    """Independent rounds, one after another, each with new candidates. If unset: one, or with `max_generated_tokens` as
    many as that allows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "children", "rounds")


@dataclass(frozen=True, kw_only=True)
class BeamSearchConfig(RoundsConfig):
    """Step-level beam search (Snell et al. 2024, section 5.1): the best `beam_width` candidates overall are kept."""

    beam_width: int = 4
    """Candidates kept at each step. The first step samples `beam_width * children` of them (N in the paper; the paper's
    M, the number sampled at each kept candidate, is `children`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "beam_width")


@dataclass(frozen=True, kw_only=True)
class DVTSConfig(RoundsConfig):
    """Diverse verifier tree search (Beeching et al. 2024): independent subtrees, each a beam of width 1."""

    subtrees: int = 4
    """Subtrees that grow concurrently: N / M for N candidates per step and M = `children`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "subtrees")


@dataclass(frozen=True, kw_only=True)
class AdaptiveBranchingConfig(TreeSearchConfig):
    """Adaptive branching (AB-MCTS-A; Inoue et al. 2025) at the level of steps: at every node Thompson sampling
    decides whether to sample one more step or to go deeper, and into which child."""

    ppm: ClassVar = "needed"

    max_rollouts: int | None = 16
    beta_prior: float = 0.5
    """Both parameters of the Beta prior on values in [0, 1]; 0.5 is Jeffreys'."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ends(self)
        check_number(self, "beta_prior", above=0)


@dataclass(frozen=True, kw_only=True)
class MCTSConfig(TreeSearchConfig):
    """Monte-Carlo tree search (rStar-Math, section 3.2).

    Given a PPM it is PPM-augmented (rounds 3, 4 and test time); without one it is terminal-guided (rounds 1, 2).
    """

    ppm: ClassVar = "optional"

    max_rollouts: int | None = 16
    children: int = 8
    """Candidate steps sampled at each expansion (8 to make data, 32 at test time in the paper)."""
    rule: Rule = "uct"
    """The selection rule: `uct`, or `puct` with the policy's probability as prior."""
    exploration: float = 2.0
    """The constant c of the rule."""
    unvisited_value: float = inf
    """The value of an unvisited child in selection; the released rStar-Math code uses 0."""
    on_error: Literal["prune", "penalize"] = "prune"
    """Whether a candidate whose code fails is dropped, or kept as a terminal node of value -1. Neither happens where
    the policy is shown the error and continues."""
    gold: bool = False
    """Value terminals by the gold answer. For making training data, never for evaluation."""
    in_flight: int | None = None
    """Concurrent rollouts in one tree; 1 is sequential MCTS. If unset: 4, which answers a single question sooner, or 1
    where `max_generated_tokens` limits the search, because several exceed it by more."""
    virtual_loss: int = 1
    """Visits of value -1 that a running rollout temporarily adds to the nodes of its path."""
    widen_above: float | None = 0.06
    """With a PPM: when the tree is exhausted, sample `children` more candidates at every node where the next one is new
    with at least this probability; after eight equal candidates that is .056. If unset, the search ends there."""
    early_stop: bool = True
    """Stop when the leading answer can no longer be overtaken; applies only to `weighted` without a PPM. Turn it off to
    make training data."""
    stop_confidence: float | None = None
    """Also stop once the leading answer has this share of the finished mass, if that is at least `stop_mass`."""
    stop_mass: float = 0.5
    """Share of the policy's trajectories, as sampled by the tree, that must be finished for `stop_confidence`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "children", "in_flight")
        check_ends(self)
        check_whole(self, "virtual_loss", at_least=0)
        check_choice(self, "rule", "on_error")
        check_number(self, "exploration", at_least=0)
        if isnan(self.unvisited_value) or self.unvisited_value == -inf:
            raise invalid(self, "unvisited_value", "a number or inf")
        check_number(self, "widen_above", above=0, below=1)
        check_number(self, "stop_confidence", above=0, at_most=1)
        check_number(self, "stop_mass", at_least=0, at_most=1)

    def completed(self, recommended: Recommended) -> MCTSConfig:
        done = super().completed(recommended)
        return done if done.in_flight is not None else replace(done, in_flight=1 if done.max_generated_tokens else 4)


def settled(value: ValueT | None) -> ValueT:
    """The value of a setting in a `completed` configuration, which leaves none open."""
    if value is None:
        raise ValueError("this configuration leaves settings open: call completed(recommended) first")
    return value
