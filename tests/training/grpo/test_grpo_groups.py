"""Groups: advantages, contrast, and the half of the trajectories that is kept."""

from __future__ import annotations

from itertools import pairwise
from math import nan
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.grpo_rollouts import made_rollout

from treestar.training.grpo.groups import advantages, faults, has_contrast, resampled_on_correct

GROUP = torch.tensor([[1.0, 0.0, 1.0, 0.0, 1.0]])


def test_rewards_are_standardized_within_their_group() -> None:
    """Mean .6, standard deviation .490."""
    [found] = advantages(GROUP, "group").tolist()
    assert found == pytest.approx([0.816, -1.225, 0.816, -1.225, 0.816], abs=5e-4)


def test_equal_rewards_teach_nothing() -> None:
    for scale in ("group", "batch", "none"):
        assert advantages(torch.full((2, 4), 0.3), scale).tolist() == [[0.0] * 4] * 2


def test_the_other_scales() -> None:
    two = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert advantages(two, "none").tolist() == [[0.5, -0.5], [0.0, 0.0]]
    deviation = two.std(correction=0).item()
    assert advantages(two, "batch").flatten().tolist() == pytest.approx([0.5 / deviation, -0.5 / deviation, 0.0, 0.0])


def test_a_trajectory_without_a_reward_changes_no_other() -> None:
    with_none = advantages(torch.tensor([[1.0, nan, 0.0, 1.0]]), "group")
    without = advantages(torch.tensor([[1.0, 0.0, 1.0]]), "group")
    assert with_none[0, 1] == 0.0
    assert with_none[0, [0, 2, 3]].tolist() == pytest.approx(without[0].tolist())
    assert advantages(torch.tensor([[nan, nan]]), "group").tolist() == [[0.0, 0.0]]


@given(st.lists(st.floats(-5, 5).map(lambda value: round(value, 2)), min_size=2, max_size=12))
def test_advantages_sum_to_nothing_and_keep_the_order(rewards: list[float]) -> None:
    found = advantages(torch.tensor([rewards], dtype=torch.float64), "group")[0]
    assert found.sum().item() == pytest.approx(0, abs=1e-6)
    if max(rewards) > min(rewards):
        assert (found**2).mean().item() == pytest.approx(1, rel=1e-6)
        order = sorted(range(len(rewards)), key=lambda place: rewards[place])
        assert all(found[a] <= found[b] + 1e-9 for a, b in pairwise(order))


def test_contrast_is_a_difference_between_rewards() -> None:
    assert has_contrast([made_rollout(1.0), made_rollout(0.0)])
    assert not has_contrast([made_rollout(1.0), made_rollout(1.0), made_rollout(None)])
    assert not has_contrast([made_rollout(None)])


def test_faults_are_failed_steps_and_repeated_answers() -> None:
    assert faults(made_rollout(steps=[("a", True), ("b", False)])) == 0.5
    assert faults(made_rollout(steps=[("", True)])) == 0.5  # nothing was executed
    assert faults(made_rollout(steps=[("a", True)])) == 0.0
    assert faults(made_rollout(steps=[("\\boxed{1}", True), ("\\boxed{2}", True)])) == 0.5
    assert faults(made_rollout(None, correct=None)) == 1.0


def test_right_trajectories_without_failures_are_kept_more_often() -> None:
    clean = [made_rollout(1.0, seed=index) for index in range(4)]
    failing = [made_rollout(1.0, steps=[("a", False), ("b", True)], seed=index) for index in range(4)]
    wrong = [made_rollout(0.0, correct=False, seed=index) for index in range(8)]
    kept_clean = kept_failing = 0
    drawn = set()
    for seed in range(100):
        kept = resampled_on_correct([*clean, *failing, *wrong], 8, Random(seed))
        assert len(kept) == 8
        assert sum(bool(each.correct) for each in kept) == 4
        kept_clean += sum(each in clean for each in kept)
        kept_failing += sum(each in failing for each in kept)
        drawn |= {id(each) for each in kept if not each.correct}
    assert kept_clean > 5 * kept_failing > 0
    assert drawn == {id(each) for each in wrong}


@pytest.mark.parametrize("right", [1, 15])
def test_resampling_keeps_the_contrast_of_a_single_right_or_wrong_trajectory(right: int) -> None:
    group = [made_rollout(float(place < right), correct=place < right, seed=place) for place in range(16)]
    assert all(has_contrast(resampled_on_correct(group, 8, Random(seed))) for seed in range(20))


@given(st.lists(st.booleans(), min_size=4, max_size=20), st.integers(0, 99))
def test_half_of_a_group_is_kept_in_order(verdicts: list[bool], seed: int) -> None:
    group = [made_rollout(float(verdict), correct=verdict) for verdict in verdicts]
    size = len(group) // 2
    kept = resampled_on_correct(group, size, Random(seed))
    assert len(kept) == size
    assert [each for each in group if each in kept] == kept
    share = sum(verdicts) * size / len(group)
    assert abs(sum(bool(each.correct) for each in kept) - share) <= 1
