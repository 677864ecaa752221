"""The loss of a batch equals the papers' formulas, over the tokens that the policy wrote."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.grpo_rollouts import made_rollout
from support.textbook_grpo import textbook_loss
from support.tiny_model import save_tiny_model

from treestar.policy.models import load_causal_model
from treestar.training.base_policy import load_base
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.rollouts import Rollout
from treestar.training.grpo.sampling import Sampled
from treestar.training.grpo.train import trainer_of
from treestar.training.grpo.trainer import without_padding
from treestar.types import Problem

REWARDS = [[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
ADVANTAGES = [1.0, -1.0, 1.0, -1.0, *[-0.25 / 0.1875**0.5] * 3, 0.75 / 0.1875**0.5]
OWN = [(1, 1, 0, 0, 1), (1, 0, 1), (1, 1, 1, 1, 1, 1), (1, 0, 0, 0, 0, 1), (1,), (0, 1), (1, 1), (1, 1, 0, 1)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("base"), treestar_format="rstar"))


def groups() -> list[list[Rollout]]:
    """Two groups with prompts of different lengths."""
    made = []
    for number, rewards in enumerate(REWARDS):
        problem = Problem("?", "2", f"problem {number}")
        made.append(
            [
                made_rollout(
                    reward,
                    correct=bool(reward),
                    problem=problem,
                    own=OWN[4 * number + place],
                    prompt=6 + 3 * number,
                    seed=place,
                )
                for place, reward in enumerate(rewards)
            ]
        )
    return made


def trainer_with(base: str, folder: Path, made: list[list[Rollout]], **settings: Any) -> Any:
    """A trainer that has sampled these groups, ready to compute a loss."""
    config = GRPOConfig(problems_per_step=len(made), group_size=len(made[0]), batch_size=64, max_tokens=64, **settings)
    trainer = trainer_of(load_base(base, None), len(made), folder, config)
    trainer.sample = lambda *_: Sampled(groups=made, rollouts=[each for group in made for each in group])
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    return trainer


def batch_of(trainer: Any, rows: int) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = trainer._generate_and_score_completions([{"prompt": ""}] * rows)
    return found


def moved(model: Any) -> None:
    """Change the weights, so that the policy is no longer the one that sampled."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)


@pytest.mark.parametrize(
    ("loss_type", "beta", "epsilon_high", "temperature"),
    [("grpo", 0.0, 0.2, 1.0), ("grpo", 0.04, 0.2, 1.0), ("dr_grpo", 0.0, 0.28, 1.0), ("dapo", 0.0, 0.28, 0.7)],
)
def test_the_loss_is_the_textbooks(
    base: str, tmp_path: Path, loss_type: str, beta: float, epsilon_high: float, temperature: float
) -> None:
    made = groups()
    settings = {"loss_type": loss_type, "beta": beta, "epsilon_high": epsilon_high, "temperature": temperature}
    # Two passes over the trajectories: the second sees weights that did not sample them.
    trainer = trainer_with(base, tmp_path, made, iterations=2, **settings)
    # Not a copy of the trainer's: TRL's forward pass would still be that of the original.
    old = load_causal_model(base, dtype=torch.float32)
    batch = batch_of(trainer, 8)
    assert batch["advantages"].tolist() == pytest.approx(ADVANTAGES, rel=1e-5)
    moved(trainer.model)
    rows = [
        (each.prompt_ids, each.completion_ids, each.own, advantage)
        for each, advantage in zip([each for group in made for each in group], ADVANTAGES, strict=True)
    ]
    expected = textbook_loss(rows, trainer.model, old, old, epsilon_low=0.2, max_tokens=64, **settings)
    found = trainer.compute_loss(trainer.model, batch)
    assert found.item() == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 1e-3


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_padding_that_a_forward_pass_does_not_need_is_left_out(base: str, tmp_path: Path, loss_type: str) -> None:
    trainer = trainer_with(base, tmp_path, groups(), loss_type=loss_type, iterations=2)
    batch = batch_of(trainer, 8)
    moved(trainer.model)
    rows = {name: values[:2] if values.dim() else values for name, values in batch.items() if values is not None}
    less = without_padding(rows)
    assert rows["prompt_ids"].shape[1] == 9
    assert rows["completion_ids"].shape[1] == 6
    assert less["prompt_ids"].shape[1] == 6
    assert less["completion_ids"].shape[1] == 5
    losses = [trainer.compute_loss(trainer.model, each).item() for each in (rows, less)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert abs(losses[0]) > 1e-4


def gradient_of(base: str, folder: Path, made: list[list[Rollout]], **settings: Any) -> torch.Tensor:
    trainer = trainer_with(base, folder, made, **settings)
    trainer.compute_loss(trainer.model, batch_of(trainer, 4 * len(made))).backward()
    return torch.cat([weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None])


def test_the_gradient_ignores_masked_tokens_and_groups_without_contrast(base: str, tmp_path: Path) -> None:
    made = groups()
    made[0][0].own[-1] = 0
    other = copy.deepcopy(made)
    other[0][0].completion_ids[-1] += 1
    first, second = (gradient_of(base, tmp_path / "a", each) for each in (made, other))
    assert torch.allclose(first, second, atol=1e-7)
    unmasked = gradient_of(base, tmp_path / "b", made, mask_outputs=False)
    assert not torch.allclose(first, unmasked, atol=1e-5)
    for rollout in made[0]:
        rollout.reward = 0.5
    alone = gradient_of(base, tmp_path / "c", made, loss_type="grpo")
    for rollout in made[0]:
        rollout.completion_ids[0] += 1
    assert torch.allclose(alone, gradient_of(base, tmp_path / "d", made, loss_type="grpo"), atol=1e-7)


def test_a_void_turn_is_not_learned_from(base: str, tmp_path: Path) -> None:
    made = groups()
    void = made[0][1]
    void.answer, void.trajectory = None, made_rollout(steps=[("", True)]).trajectory
    assert void.is_void
    kept = gradient_of(base, tmp_path / "a", made)
    filtered = gradient_of(base, tmp_path / "b", made, filter_void_turns=True)
    assert not torch.allclose(kept, filtered, atol=1e-6)
    void.completion_ids[0] += 1
    assert torch.allclose(filtered, gradient_of(base, tmp_path / "c", made, filter_void_turns=True), atol=1e-7)


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_void_turns_alone_teach_nothing(base: str, tmp_path: Path, loss_type: str) -> None:
    """Every token of the batch is masked; no mean over tokens may divide by their number."""
    made = groups()
    for void in [each for group in made for each in group]:
        void.answer, void.trajectory = None, made_rollout(steps=[("", True)]).trajectory
    gradient = gradient_of(base, tmp_path, made, loss_type=loss_type, beta=0.04, filter_void_turns=True)
    assert gradient.abs().max() == 0
