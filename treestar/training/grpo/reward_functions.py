"""From the names of rewards to their functions, and from trajectories to their rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from math import isfinite
from typing import Any

from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.rollouts import Rollout
from treestar.types import Problem, TreestarError
from treestar.verifier import rewards
from treestar.verifier.grading.questions import gold_answers

__all__ = ["RewardFunction", "give_rewards", "reward_functions"]

RewardFunction = Callable[..., Sequence[float | None]]


def reward_functions(config: GRPOConfig) -> dict[str, RewardFunction]:
    """The functions of the configured rewards, by name.

    Raises:
        TreestarError: a function of the user's cannot be imported.
    """
    return {name: reward_function(name, config) for name in config.rewards}


def reward_function(name: str, config: GRPOConfig) -> RewardFunction:
    if name == "overlong":
        return rewards.overlong_penalty(config.max_tokens, config.overlong_buffer or max(1, config.max_tokens // 4))
    module, _, function = name.partition(":")
    try:
        found: RewardFunction = getattr(import_module(module), function) if function else getattr(rewards, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TreestarError(f"the reward {name} cannot be imported: {error}") from error
    return found


def give_rewards(
    rollouts: Sequence[Rollout], functions: Mapping[str, RewardFunction], weights: Mapping[str, float]
) -> int:
    """Set the rewards of `rollouts`; returns how many were not finite numbers. Those do not apply, as None.

    Raises:
        TreestarError: a function failed, or did not return a number or None for each trajectory.
    """
    columns = columns_of(rollouts)
    faulty = 0
    for name, function in functions.items():
        try:
            found = [None if value is None else float(value) for value in function(**columns)]
        except Exception as error:  # a function of the user's can raise anything
            raise TreestarError(f"the reward {name} failed: {type(error).__name__}: {error}") from error
        if len(found) != len(rollouts):
            raise TreestarError(f"the reward {name} gave {len(found)} values for {len(rollouts)} trajectories")
        for rollout, value in zip(rollouts, found, strict=True):
            is_faulty = value is not None and not isfinite(value)
            faulty += is_faulty
            rollout.rewards[name] = None if is_faulty else value
    for rollout in rollouts:
        given = [weights[name] * value for name, value in rollout.rewards.items() if value is not None]
        rollout.reward = sum(given) if given else None
    return faulty


def columns_of(rollouts: Sequence[Rollout]) -> dict[str, list[Any]]:
    """What reward functions can read of each trajectory."""
    return {
        "prompts": [rollout.problem.question for rollout in rollouts],
        "completions": ["".join(step.text for step in rollout.trajectory.steps) for rollout in rollouts],
        "completion_ids": [rollout.completion_ids for rollout in rollouts],
        "trajectories": [rollout.trajectory for rollout in rollouts],
        "answers": [rollout.answer for rollout in rollouts],
        "solution": [solution_of(rollout.problem) for rollout in rollouts],
        "verdicts": [rollout.correct for rollout in rollouts],
        "has_reasoning": [rollout.has_reasoning for rollout in rollouts],
        "executed_steps": [rollout.executed_steps for rollout in rollouts],
        "failed_steps": [rollout.failed_steps for rollout in rollouts],
        "generated_tokens": [rollout.generated_tokens for rollout in rollouts],
        "ended": [rollout.ended for rollout in rollouts],
        "group": [rollout.problem.id or rollout.problem.question for rollout in rollouts],
    }


def solution_of(problem: Problem) -> str | list[str] | None:
    """The gold answer; of a question about facts, all answers that are right."""
    return gold_answers(problem) if problem.kind == "qa" else problem.answer
