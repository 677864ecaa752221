"""What a sampling says about the policy: the figures that are logged at every step."""

from __future__ import annotations

from treestar.training.grpo.sampling import Sampled

__all__ = ["figures_of"]

Ratio = tuple[float, float]


def figures_of(sampled: Sampled) -> dict[str, float | Ratio]:
    """Counts, and (sum, number) pairs of means, over all trajectories that one process has sampled."""
    rollouts = sampled.rollouts
    number = float(len(rollouts))
    judged = [rollout for rollout in rollouts if rollout.correct is not None]
    right = [rollout for rollout in judged if rollout.correct]

    def share(counted: list[bool], among: float = number) -> Ratio:
        return float(sum(counted)), among

    return {
        "policy/correct": share([bool(rollout.correct) for rollout in judged], float(len(judged))),
        "policy/length": (float(sum(rollout.generated_tokens for rollout in rollouts)), number),
        "policy/steps": (float(sum(len(rollout.trajectory.steps) for rollout in rollouts)), number),
        "policy/truncated": share([rollout.ended in ("truncated", "max_depth", "context") for rollout in rollouts]),
        "policy/void": share([rollout.is_void for rollout in rollouts]),
        "policy/failed_steps": (
            float(sum(rollout.failed_steps for rollout in rollouts)),
            float(sum(rollout.executed_steps for rollout in rollouts)),
        ),
        "policy/tool_error_when_correct": share([rollout.failed_steps > 0 for rollout in right], float(len(right))),
        "groups/without_contrast": (float(sampled.first_without_contrast), float(sampled.first_groups)),
        "groups/replaced": float(sampled.replaced),
        "skipped/problems": float(sampled.unusable),
        "skipped/rewards": float(sampled.faulty_rewards),
        "tokens/generated": float(sum(rollout.generated_tokens for rollout in rollouts)),
    }
