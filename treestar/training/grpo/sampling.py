"""One sampling: the groups that the next optimizer steps learn from.

groups = trajectories of the chosen problems
while groups without contrast are left, and may be replaced:
    replace them by groups of other problems
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from treestar.search.expansion import Components
from treestar.seeds import seed_of
from treestar.training.grpo.choice import PassRates, other_problems
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.groups import has_contrast, resampled_on_correct
from treestar.training.grpo.reward_functions import RewardFunction, give_rewards
from treestar.training.grpo.rollouts import Rollout, sample_groups
from treestar.types import Problem, TreestarError

__all__ = ["Sampled", "sample_for_step"]


@dataclass(slots=True)
class Sampled:
    """What one process has sampled for the next steps."""

    groups: list[list[Rollout]] = field(default_factory=list)
    """Those that are learned from, each with `group_size` trajectories."""
    rollouts: list[Rollout] = field(default_factory=list)
    """All trajectories that were sampled, also those that are not learned from."""
    tried: list[tuple[int, int, int]] = field(default_factory=list)
    """(problem, trajectories, right ones) for each group that was sampled."""
    first_groups: int = 0
    first_without_contrast: int = 0
    """Groups of the chosen problems, before any was replaced, and those of them without contrast."""
    replaced: int = 0
    """Groups that were replaced."""
    unusable: int = 0
    """Problems whose prompt leaves no room for a trajectory."""
    faulty_rewards: int = 0
    """Rewards that were not finite numbers."""


async def sample_for_step(
    chosen: Sequence[int],
    problems: Sequence[Problem],
    config: GRPOConfig,
    components: Components,
    functions: Mapping[str, RewardFunction],
    rates: PassRates,
    key: str,
) -> Sampled:
    """As many groups as there are indices in `chosen`.

    Args:
        chosen: the problems to try first.
        key: determines all random draws, together with the configuration's seed.

    Raises:
        TreestarError: the policy, the executor or a reward failed, or no problem's prompt leaves room for a trajectory.
    """
    found = Sampled()
    kept: list[list[Rollout]] = []
    flat: list[list[Rollout]] = []
    seen: set[int] = set()
    by_pass_rate = config.choose_by == "pass_rate"

    async def sampled(indices: Sequence[int], key: str) -> list[list[Rollout]]:
        """The groups of the problems with these indices, rewarded and counted in `found`."""
        count = config.group_size * (2 if config.resample_on_correct else 1)
        seed = seed_of(config.seed, key)
        groups = await sample_groups([problems[index] for index in indices], count, config, components, seed)
        usable = [(index, group) for index, group in zip(indices, groups, strict=True) if group]
        found.unusable += len(groups) - len(usable)
        for index, group in usable:
            found.rollouts += group
            found.tried.append((index, len(group), sum(bool(rollout.correct) for rollout in group)))
            found.faulty_rewards += give_rewards(group, functions, config.rewards)
        if not config.resample_on_correct:
            return [group for _, group in usable]
        random = Random(f"{config.seed} {key} half")
        return [resampled_on_correct(group, config.group_size, random) for _, group in usable]

    trying = list(chosen)
    attempt = 0
    # A problem that cannot be used is always replaced, one without contrast only as often as allowed.
    while trying:
        seen.update(trying)
        groups = await sampled(trying, f"{key} {attempt}")
        if attempt == 0:
            found.first_groups = len(groups)
            found.first_without_contrast = sum(not has_contrast(group) for group in groups)
        kept += [group for group in groups if has_contrast(group)]
        flat += [group for group in groups if not has_contrast(group)]
        missing = len(chosen) - len(kept) - (len(flat) if attempt >= config.dynamic_sampling else 0)
        random = Random(f"{config.seed} {key} {attempt} others")
        trying = other_problems(max(0, missing), rates, by_pass_rate, random, seen)
        if attempt < config.dynamic_sampling:
            found.replaced += len(trying)
        attempt += 1
    found.groups = [*kept, *flat][: len(chosen)]
    if not found.groups:
        raise TreestarError(
            f"the prompts of {found.unusable} problems leave no room for a trajectory in the policy's context: leave "
            "such problems out"
        )
    for place in range(len(chosen) - len(found.groups)):  # there are too few problems
        found.groups.append(found.groups[place])
    return found
