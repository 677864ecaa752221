"""Groups of trajectories of one problem: which are learned from, and how much better each is than the others."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from treestar.training.grpo.choice import drawn
from treestar.training.grpo.config import ScaleRewards
from treestar.training.grpo.rollouts import Rollout

if TYPE_CHECKING:
    import torch

__all__ = ["advantages", "faults", "has_contrast", "resampled_on_correct"]

NO_CONTRAST = 1e-6
"""Rewards that differ by less are equal."""

FAULTLESS = 0.05
"""Added to the faults of a right trajectory, so that one without faults is not infinitely more likely than others."""


def has_contrast(group: Sequence[Rollout]) -> bool:
    """Whether the rewards of a group differ, so that there is something to learn."""
    rewards = [rollout.reward for rollout in group if rollout.reward is not None]
    return bool(rewards) and max(rewards) - min(rewards) > NO_CONTRAST


def advantages(rewards: torch.Tensor, scale: ScaleRewards) -> torch.Tensor:
    """How much better each trajectory is than its group (DeepSeekMath, section 4.1.2).

    Args:
        rewards: shape (groups, group size); NaN where no reward applies.
        scale: what the difference from the group's mean is divided by.

    Returns:
        The same shape; 0 where no reward applies, and in groups without contrast.
    """
    differences = rewards - rewards.nanmean(1, keepdim=True)
    if scale == "group":
        deviation = (differences**2).nanmean(1, keepdim=True).sqrt()
    elif scale == "batch":
        deviation = ((rewards - rewards.nanmean()) ** 2).nanmean().sqrt()
    else:
        deviation = rewards.new_ones(())
    return (differences / deviation).where(deviation > NO_CONTRAST, 0.0).nan_to_num(0.0)


def resampled_on_correct(group: Sequence[Rollout], size: int, random: Random) -> list[Rollout]:
    """`size` of the trajectories, with about the same share of right ones (GRPO-RoC; rStar2-Agent, section 3.2), but at
    least one right and one wrong one if there are any: a single right answer is what there is to learn.

    Wrong ones are drawn uniformly, so that all ways to fail stay; right ones with probabilities that are inversely
    proportional to their `faults`, so that a right answer found after many failures is rarely learned from. The
    released code draws nothing: it keeps the right ones with the fewest faults, and two or more of each kind.

    Args:
        size: 2 or more.
    """
    right = [rollout for rollout in group if rollout.correct]
    wrong = [rollout for rollout in group if not rollout.correct]
    count = round(len(right) * size / len(group))
    least, most = max(min(1, len(right)), size - len(wrong)), min(len(right), size - min(1, len(wrong)))
    count = min(most, max(least, count))
    weights = [1 / (faults(rollout) + FAULTLESS) for rollout in right]
    kept = {*drawn(right, count, weights, random), *random.sample(wrong, size - count)}
    return [rollout for rollout in group if rollout in kept]


def faults(rollout: Rollout) -> float:
    """The share of its executed steps that failed, 1/2 if none was executed, plus its format faults in [0, 1]: no
    answer, or answers stated more than once."""
    failed = rollout.failed_steps / rollout.executed_steps if rollout.executed_steps else 0.5
    if rollout.answer is None:
        return failed + 1.0
    steps = rollout.trajectory.steps
    stated = sum("\\boxed" in step.text for step in steps)
    return failed + min(1.0, max(0, stated - 1) / len(steps))
