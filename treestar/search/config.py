"""Every tunable of the search strategies, as frozen dataclasses that check themselves.

The command line's options and the YAML job files are made from these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf, isfinite, isnan
from typing import Any, Literal

from treestar.search.selection import Rule
from treestar.types import Sampling

__all__ = ["BestOfNConfig", "GreedyConfig", "MCTSConfig", "MajorityConfig", "SamplesConfig", "SearchConfig"]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What every strategy has: the shape of a path, and the budget that ends a search with what it has."""

    max_depth: int = 16
    """Most steps of one trajectory."""
    max_step_tokens: int = 256
    """Most tokens of one step."""
    generated_tokens: int | None = None
    """Stop once this many tokens are generated; checked between expansions."""
    executed_seconds: float | None = None
    """Stop once steps have run this long in the sandbox."""
    wall_seconds: float | None = None
    """Stop after this long; checked between expansions."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        check_at_least(self, 1, "max_depth", "max_step_tokens", "generated_tokens")
        check_above_zero(self, "executed_seconds", "wall_seconds")

    def sampling(self) -> Sampling:
        """How the policy draws steps under this configuration."""
        return Sampling(0.0, 1.0, self.max_step_tokens)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; an infinity becomes a string, which JSON has no number for."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: str(value) if isinstance(value, float) and not isfinite(value) else value
            for name, value in values.items()
        }


@dataclass(frozen=True, kw_only=True)
class GreedyConfig(SearchConfig):
    """One trajectory, the most probable token at every place."""


@dataclass(frozen=True, kw_only=True)
class SamplesConfig(SearchConfig):
    """Independent trajectories."""

    samples: int = 16
    """Trajectories to sample."""
    in_flight: int = 16
    """Trajectories sampled at the same time. With a token budget, fewer leave less unfinished when it ends."""
    temperature: float = 1.0
    """1 samples from the policy as it is; 0 takes the most probable token at every place."""
    top_p: float = 1.0
    """Sample among the most probable tokens that together reach this probability."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "samples", "in_flight")
        check_sampling(self)

    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_step_tokens)


@dataclass(frozen=True, kw_only=True)
class MajorityConfig(SamplesConfig):
    """The answer that most of the sampled trajectories agree on (self-consistency; Wang et al. 2022)."""


@dataclass(frozen=True, kw_only=True)
class BestOfNConfig(SamplesConfig):
    """The answer of the sampled trajectory with the highest PPM score, or mean log-probability without a PPM."""


@dataclass(frozen=True, kw_only=True)
class MCTSConfig(SearchConfig):
    """Monte-Carlo tree search (rStar-Math, section 3.2).

    Given a PPM it is PPM-augmented (rounds 3, 4 and test time); without one it is terminal-guided (rounds 1, 2).
    """

    rollouts: int = 16
    """Passes from the root to a terminal node."""
    children: int = 8
    """Candidate steps sampled at each expansion (8 to make data, 32 at test time in the paper)."""
    temperature: float = 1.0
    """1 samples from the policy as it is; 0 takes the most probable token at every place."""
    top_p: float = 1.0
    """Sample among the most probable tokens that together reach this probability."""
    rule: Rule = "uct"
    """How selection rates children: `uct`, or `puct` with the policy's probability as prior."""
    exploration: float = 2.0
    """The constant c of the rule."""
    unvisited_value: float = inf
    """What a child without visits is worth to selection; the released rStar-Math code uses 0."""
    on_error: Literal["prune", "penalise"] = "prune"
    """A candidate whose code fails is dropped, or kept as a terminal node of value -1."""
    gold: bool = False
    """Value terminals by the gold answer: to make training data, never to measure."""
    in_flight: int = 1
    """Rollouts of one tree at the same time; 1 is the textbook sequence."""
    virtual_loss: int = 1
    """Visits of value -1 that a rollout in flight lends to the nodes of its path."""
    choice: Literal["weighted", "majority", "best"] = "weighted"
    """How the answer is chosen: the heaviest group by PPM score (without a PPM by sampled mass), the group with most
    trajectories, or the single best trajectory."""
    early_stop: bool = True
    """Stop when the leading answer can no longer be overtaken, which only `weighted` without a PPM can know. Off when
    making training data."""
    stop_confidence: float | None = None
    """Also stop once the leading answer holds this share of what is finished, if that is at least `stop_mass`."""
    stop_mass: float = 0.5
    """Share of the policy's trajectories, as the tree sampled them, that must be finished for `stop_confidence`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "rollouts", "children", "in_flight")
        check_at_least(self, 0, "virtual_loss")
        check_sampling(self)
        check_choice(self, "rule", "uct", "puct")
        check_choice(self, "on_error", "prune", "penalise")
        check_choice(self, "choice", "weighted", "majority", "best")
        if not (isfinite(self.exploration) and self.exploration >= 0):
            raise invalid(self, "exploration", "a finite number, 0 or more")
        if isnan(self.unvisited_value) or self.unvisited_value == -inf:
            raise invalid(self, "unvisited_value", "a number or inf")
        if self.stop_confidence is not None and not 0 < self.stop_confidence <= 1:
            raise invalid(self, "stop_confidence", "above 0 and at most 1")
        if not 0 <= self.stop_mass <= 1:
            raise invalid(self, "stop_mass", "between 0 and 1")

    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_step_tokens)


def invalid(config: SearchConfig, name: str, allowed: str) -> ValueError:
    return ValueError(f"{type(config).__name__}.{name} must be {allowed}, not {getattr(config, name)!r}")


def check_at_least(config: SearchConfig, least: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is None and name == "generated_tokens":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise invalid(config, name, f"a whole number, {least} or more")


def check_above_zero(config: SearchConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and not (isfinite(value) and value > 0):
            raise invalid(config, name, "a finite number of seconds above 0")


def check_choice(config: SearchConfig, name: str, *allowed: str) -> None:
    if getattr(config, name) not in allowed:
        raise invalid(config, name, " or ".join(repr(each) for each in allowed))


def check_sampling(config: SamplesConfig | MCTSConfig) -> None:
    if not (isfinite(config.temperature) and config.temperature >= 0):
        raise invalid(config, "temperature", "a finite number, 0 or more")
    if not 0 < config.top_p <= 1:
        raise invalid(config, "top_p", "above 0 and at most 1")
