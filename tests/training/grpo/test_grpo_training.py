"""Reinforcement learning of a policy: it learns, resumes exactly, keeps one model, and reports errors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.grpo_rollouts import sums
from support.tiny_model import save_tiny_model

from treestar.policy import load_policy
from treestar.training.grpo import train as training
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.train import train_grpo
from treestar.types import Problem, TreestarError

BASE = "toy-bootstrap"
FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
SMALL = {"problems_per_step": 2, "group_size": 2, "max_tokens": 60, "dynamic_sampling": 0, "warmup": 0.0}


def problems(count: int = 4) -> list[Problem]:
    return [
        Problem(f"Calculate {number} + {number + 2} * 3.", str(4 * number + 6), f"p{number}") for number in range(count)
    ]


def place(completions: Any, **_: Any) -> list[float]:
    """A reward with contrast whatever the policy writes."""
    return [float(index) for index in range(len(completions))]


PLACE = {f"{__name__}:place": 1.0}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A policy that writes random bytes up to the limit."""
    return str(save_tiny_model(tmp_path_factory.mktemp("base"), treestar_format="rstar"))


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


class Killed(Exception):
    pass


def without_seconds(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    slow = ("seconds", "time", "runtime", "per_second", "flos")
    return [
        {name: value for name, value in entry.items() if not name.endswith(slow) and not name.startswith("seconds/")}
        for entry in log
    ]


def test_a_resumed_training_has_the_curve_and_weights_of_an_uninterrupted_one(tiny: str, tmp_path: Path) -> None:
    """Killed after a checkpoint; with the pass rates that the choice of problems depends on."""
    small = {**SMALL, "max_tokens": 10, "max_step_tokens": 10}
    config = GRPOConfig(**small, steps=3, save_steps=1, choose_by="pass_rate", rewards=PLACE, learning_rate=1e-3)
    held_out = {"sums": sums(2)}
    arguments: dict[str, Any] = {"held_out": held_out, "evaluate_every": 2, "evaluation_samples": 2}
    told: list[Any] = []
    whole = train_grpo(sums(4), tiny, tmp_path / "whole", config, on_progress=told.append, **arguments)
    assert {path.name for path in (tmp_path / "whole").iterdir()} == FILES | {"training.json", "evaluations"}
    assert json.loads((tmp_path / "whole" / "training.json").read_text()) == whole
    evaluated = [each.step for each in told if "eval_greedy" in each.figures]
    assert evaluated == [0, 2, 3]
    assert {path.name for path in (tmp_path / "whole" / "evaluations").iterdir()} == {
        f"step-00000{step}.json" for step in evaluated
    }
    before, after = weights(tiny), weights(tmp_path / "whole")
    assert any(not torch.equal(before[name], after[name]) for name in before)

    def kill(progress: Any) -> None:
        if progress.step == 3 and "loss" in progress.figures:
            raise Killed

    out = tmp_path / "killed"
    with pytest.raises(Killed):
        train_grpo(sums(4), tiny, out, config, on_progress=kill, **arguments)
    with pytest.raises(TreestarError, match="--resume"):
        train_grpo(sums(4), tiny, out, config, **arguments)
    with pytest.raises(TreestarError, match=r"made with other settings \(problems\)"):
        train_grpo(sums(3), tiny, out, config, resume=True, **arguments)
    resumed = train_grpo(sums(4), tiny, out, config, resume=True, **arguments)
    assert resumed["resumed_from"] == "checkpoint-2"
    assert without_seconds(resumed["log"])[:-1] == without_seconds(whole["log"])[:-1]
    found = weights(out)
    assert all(torch.equal(after[name], found[name]) for name in after)
    assert load_policy(str(out)).format.name == "rstar"


def test_every_figure_is_logged_and_no_second_model_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = training.load_model
    monkeypatch.setattr(training, "load_model", lambda *a, **k: loaded.append(load(*a, **k)) or loaded[-1])
    policies: list[Any] = []
    make = training.TransformersPolicy
    monkeypatch.setattr(training, "TransformersPolicy", lambda *a, **k: policies.append(make(*a, **k)) or policies[-1])
    config = GRPOConfig(**SMALL, steps=1, temperature=1.5, rewards=PLACE)
    report = train_grpo(problems(), BASE, tmp_path, config, held_out={"nothing": []})
    assert len(loaded) == len(policies) == 1
    assert policies[0].model is loaded[0]
    [entry] = [each for each in report["log"] if "loss" in each]
    assert not any("clipped_ratio" in name or "terminated" in name for name in entry), (
        "TRL misjudges what ends in a tag"
    )
    for name in (
        "reward",
        "entropy",
        "policy/correct",
        "policy/length",
        "policy/failed_steps",
        "groups/without_contrast",
        "tokens/generated",
        "seconds/sampling",
        "clip_ratio/high_mean",
    ):
        assert math.isfinite(entry[name]), name
    assert report["tokens"] == entry["tokens/generated"] > 0
    assert report["data"] == {"problems": 4, "held_out": 0}


def test_mixed_precision_learns_from_trajectories_that_were_sampled_without_it(tiny: str, tmp_path: Path) -> None:
    """Accelerate gives the model another forward for it; what is sampled and evaluated first is the same."""
    reports = []
    for bf16 in (False, True):
        config = GRPOConfig(**{**SMALL, "max_tokens": 10}, steps=2, rewards=PLACE, learning_rate=1e-3, bf16=bf16)
        out = tmp_path / str(bf16)
        reports.append(train_grpo(sums(4), tiny, out, config, held_out={"sums": sums(2)}, evaluation_samples=2))
    first, mixed = [[entry for entry in report["log"] if "loss" in entry] for report in reports]
    for name in ("tokens/generated", "policy/length", "reward"):
        assert mixed[0][name] == first[0][name]
    assert mixed[0]["entropy"] == pytest.approx(first[0]["entropy"], rel=0.02)
    assert mixed[0]["entropy"] != first[0]["entropy"], "it learned without mixed precision"
    before, after = weights(tiny), weights(tmp_path / "True")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_without_any_contrast_the_training_stops_with_a_sentence(tiny: str, tmp_path: Path) -> None:
    config = GRPOConfig(**{**SMALL, "max_tokens": 8}, steps=9, patience=2)
    with pytest.raises(TreestarError, match="in the last 2 samplings all trajectories of each problem had the same"):
        train_grpo(sums(4), tiny, tmp_path / "out", config)


def test_weights_that_are_no_numbers_are_a_sentence(tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "base", treestar_format="rstar")
    broken = weights(base)
    broken["model.norm.weight"][0] = math.nan
    save_file(broken, base / "model.safetensors", {"format": "pt"})
    config = GRPOConfig(**{**SMALL, "max_tokens": 8}, steps=1)
    with pytest.raises(TreestarError, match="probabilities that are not numbers"):
        train_grpo(sums(4), str(base), tmp_path / "out", config)


def test_bad_input_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match="there are no problems"):
        train_grpo([], BASE, tmp_path)
    with pytest.raises(TreestarError, match="problem 'x' has no gold answer"):
        train_grpo([Problem("?", id="x")], BASE, tmp_path)
    with pytest.raises(TreestarError, match="evaluate_every must be 1 or more steps, not 0"):
        train_grpo(sums(4), BASE, tmp_path, held_out={"sums": sums(1)}, evaluate_every=0)
    with pytest.raises(TreestarError, match="the step format retrieval cannot be reinforced"):
        train_grpo(sums(4), BASE, tmp_path, GRPOConfig(step_format="retrieval"))
    config = GRPOConfig(problems_per_step=3, group_size=3, updates=2)
    with pytest.raises(TreestarError, match="3 problems with 3 trajectories each cannot be divided"):
        train_grpo(sums(4), BASE, tmp_path / "a", config)
    with pytest.raises(TreestarError, match=r"cannot be set up.*no_such_argument"):
        train_grpo(sums(4), BASE, tmp_path / "b", GRPOConfig(training_arguments={"no_such_argument": 1}))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"group_size": 1}, "group_size must be a whole number, 2 or more"),
        (
            {"training_arguments": {"num_generations": 4}},
            "training_arguments must not have num_generations: set group_size",
        ),
        ({"training_arguments": {"temperature": 0.7}}, "training_arguments must not have temperature: set temperature"),
        ({"training_arguments": {"use_vllm": True}}, "training_arguments must not have use_vllm: trajectories are not"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"epsilon_low": 1.0}, "epsilon_low must be above 0 and below 1"),
        ({"loss_type": "ppo"}, "loss_type must be grpo or dr_grpo or dapo"),
        ({"rewards": {"style": 1.0}}, "rewards must be weights of correct"),
        ({"rewards": {"correct": math.nan}}, "rewards must be names with finite numbers"),
        ({"rewards": {}}, "at least one reward"),
        ({"overlong_buffer": 2000}, "overlong_buffer must be at most max_tokens, 1024"),
        ({"overlong_buffer": 100}, "overlong_buffer must be left out unless `rewards` has overlong, not 100"),
        ({"training_arguments": {"save_steps": 3}}, "training_arguments must not have save_steps: set save_steps"),
        ({"save_steps": 3, "updates": 2}, "save_steps must be a multiple of updates"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"GRPOConfig.{sentence}" if not sentence.startswith("at") else sentence):
        GRPOConfig(**settings)
