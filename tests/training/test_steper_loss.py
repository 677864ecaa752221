"""The difficulty-aware loss equals the equation on numbers worked out by hand, gradients of sigma included."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.distill.loss import difficulty_aware_loss, sigmas, weighted_loss


def test_the_loss_is_the_sum_over_kinds_of_l_over_two_sigma_squared_plus_log_sigma() -> None:
    losses, chosen = torch.tensor([2.0, 0.5, 3.0]), torch.tensor([1.0, 0.5, 2.0])
    # 2 / 2 + 0, 0.5 / 0.5 + log 0.5, 3 / 8 + log 2: the logarithms cancel
    loss = difficulty_aware_loss(losses, 2 * chosen.log())
    assert loss.item() == pytest.approx(1.0 + 1.0 + 0.375)


def test_the_gradient_of_each_log_variance() -> None:
    """d/ds (exp(-s) L / 2 + s / 2) = (1 - L / sigma^2) / 2; that of L is 1 / (2 sigma^2)."""
    losses = torch.tensor([2.0, 0.5, 3.0], requires_grad=True)
    log_variances = (2 * torch.tensor([1.0, 0.5, 2.0]).log()).requires_grad_()
    difficulty_aware_loss(losses, log_variances).backward()
    assert log_variances.grad is not None
    assert log_variances.grad.tolist() == pytest.approx([(1 - 2) / 2, (1 - 2) / 2, (1 - 0.75) / 2])
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([0.5, 2.0, 0.125])


def test_the_parts_of_several_forward_passes_add_up_to_the_loss_of_one() -> None:
    log_variances = torch.tensor([0.3, -0.4, 0.1])
    parts = torch.tensor([[1.5, 0.5, 1.0], [0.5, 0.0, 2.0]])
    added = sum(difficulty_aware_loss(part, log_variances, share=0.5) for part in parts)
    assert added == pytest.approx(difficulty_aware_loss(parts.sum(dim=0), log_variances))


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3))
def test_sigma_stays_positive(values: list[float]) -> None:
    assert (sigmas(torch.tensor(values)) > 0).all()


def test_sigma_settles_where_its_square_is_the_loss() -> None:
    losses, log_variances = torch.tensor([2.0, 0.5, 3.0]), torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_variances], max_iter=30)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = difficulty_aware_loss(losses, log_variances)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert (sigmas(log_variances.detach()) ** 2).tolist() == pytest.approx(losses.tolist(), rel=0.02)


def test_uniform_and_fixed_weights() -> None:
    losses = torch.tensor([2.0, 0.5, 3.0])
    assert weighted_loss(losses, torch.ones(3), 3).item() == pytest.approx(5.5 / 3)
    assert weighted_loss(losses, torch.tensor([1.5, 1.0, 0.5]), 3).item() == pytest.approx((3 + 0.5 + 1.5) / 3)
    assert weighted_loss(losses[:1], torch.ones(1), 3).item() == pytest.approx(2 / 3), "absent kinds count nothing"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", "last"),
        ("steps", "mid,mid"),
        ("weights", "1,2"),
        ("weights", "a,b,c"),
        ("weights", "0,0,0"),
        ("weights", "nan,1,1"),
        ("weights", "1,1,inf"),
        ("weighting", "other"),
        ("sigma_learning_rate", math.inf),
        ("packing", True),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(field: str, value: object) -> None:
    given_more = {"weighting": "fixed"} if field == "weights" else {}
    with pytest.raises(ValueError, match=f"StepERTrainingConfig.{field} must be"):
        StepERTrainingConfig(**{**given_more, field: value})


@pytest.mark.parametrize(
    "given",
    [
        {"weights": "1,2,3"},
        {"weighting": "uniform", "sigma_learning_rate": 0.1},
        {"training_arguments": {"label_smoothing_factor": 0.1}},
    ],
)
def test_what_would_have_no_effect_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be left out unless|must not have label_smoothing_factor"):
        StepERTrainingConfig(**given)
