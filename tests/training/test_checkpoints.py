"""Checkpoints that are not complete: nothing is trained on without saying so, whichever training it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.grpo_rollouts import sums
from support.ppm_trees import telling_tree
from support.sft_rows import sum_row
from support.tiny_model import save_tiny_model
from support.train_steper_in_processes import eight_rows

from treestar.training import GRPOConfig, PPMTrainingConfig, SFTTrainingConfig, train_grpo, train_policy, train_ppm
from treestar.training.checkpoints import check_complete
from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.distill.train import train_steper
from treestar.types import TreestarError

SMALL = {"problems_per_step": 2, "group_size": 2, "max_tokens": 8, "max_step_tokens": 8, "dynamic_sampling": 0}


def place(completions: Any, **_: Any) -> list[float]:
    """A reward with contrast whatever the policy writes."""
    return [float(index) for index in range(len(completions))]


def fine_tuning(base: str, out: Path, **options: Any) -> dict[str, Any]:
    config = SFTTrainingConfig(batch_size=2, save_steps=1)
    return train_policy([sum_row(number) for number in range(4)], base, out, config, **options)


def ppm_training(base: str, out: Path, **options: Any) -> dict[str, Any]:
    config = PPMTrainingConfig(epochs=2.0, batch_tokens=300, save_steps=1)
    return train_ppm([telling_tree(number) for number in range(4)], base, out, config, **options)


def distillation(base: str, out: Path, **options: Any) -> dict[str, Any]:
    return train_steper(eight_rows(), base, out, StepERTrainingConfig(batch_size=4, save_steps=1), **options)


def reinforcement(base: str, out: Path, **options: Any) -> dict[str, Any]:
    config = GRPOConfig(**SMALL, steps=3, save_steps=1, rewards={f"{__name__}:place": 1.0})
    return train_grpo(sums(2), base, out, config, **options)


class Killed(Exception):
    pass


def kill(progress: Any) -> None:
    if progress.step == 2:
        raise Killed


@pytest.mark.parametrize("training", [fine_tuning, ppm_training, distillation, reinforcement])
def test_a_training_does_not_go_on_with_a_new_optimizer(
    training: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    base, out = str(save_tiny_model(tmp_path / "base", treestar_format="rstar")), tmp_path / "out"
    with pytest.raises(Killed):
        training(base, out, on_progress=kill)
    [checkpoint] = out.glob("checkpoint-*")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (checkpoint / name).rename(tmp_path / name)
        with pytest.raises(TreestarError, match=rf"{checkpoint.name} cannot be continued from: {name} is missing"):
            training(base, out, resume=True)
        (tmp_path / name).rename(checkpoint / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert training(base, out, resume=True)["resumed_from"] == checkpoint.name


def test_a_training_whose_checkpoint_does_not_count_says_where_it_begins(tmp_path: Path) -> None:
    """The trainer writes its state last: without it, the checkpoint may be one that a kill has cut off."""
    base, out = str(save_tiny_model(tmp_path / "base", treestar_format="rstar")), tmp_path / "out"
    with pytest.raises(Killed):
        fine_tuning(base, out, on_progress=kill)
    (out / "checkpoint-1" / "trainer_state.json").write_text("")
    with pytest.warns(
        RuntimeWarning, match=r"checkpoint-1 lacks a whole trainer_state\.json.*the training begins again"
    ):
        assert fine_tuning(base, out, resume=True)["resumed_from"] is None


@pytest.mark.parametrize(
    ("files", "processes"),
    [
        (("optimizer.pt", "scheduler.pt", "rng_state.pth"), 1),
        (("optimizer.bin", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"), 2),
        (("optimizer_0/__0_0.distcp", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"), 2),
        (("latest", "global_step1/mp_rank_00_model_states.pt"), 2),
    ],
)
def test_every_way_to_store_an_optimizer_is_complete(files: tuple[str, ...], processes: int, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    check_complete(tmp_path, processes)
    (tmp_path / files[0]).unlink()
    with pytest.raises(TreestarError, match=r"optimizer\.pt.* is missing"):
        check_complete(tmp_path, processes)
