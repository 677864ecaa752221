"""Reinforcement learning with vLLM as what samples: it has the trained weights. Most run under `make test-vllm`."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from support.grpo_rollouts import sums

from treestar.policy import TransformersPolicy
from treestar.policy.backends.generated import Generated
from treestar.policy.backends.local import LocalPolicy
from treestar.reinforcement import GRPOJob, run_grpo_job
from treestar.reinforcement.job import CurveConfig
from treestar.selfevolve.job import EvaluationCell, GymSource, ProblemsConfig
from treestar.training.base_policy import Base, load_base, load_model, lora_config
from treestar.training.checkpoints import last_checkpoint
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.train import train_grpo
from treestar.training.grpo.vllm import vllm_policy
from treestar.types import Problem, Sampling, State, TreestarError

BASE = "toy-bootstrap"
ENGINE = {"enforce_eager": True, "block_size": 32, "max_model_len": 256}
"""Starts quickly: nothing is compiled. With short blocks, so that prompts are in the prefix cache."""
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"], "init_lora_weights": False}
SMALL = {"problems_per_step": 2, "group_size": 2, "max_tokens": 60, "dynamic_sampling": 0, "warmup": 0.0}
STATE = State(Problem("Calculate 12 + 34 - 5 + 67 - 8 + 90 - 12 + 34 - 5 + 67 - 8 + 90 + 11 - 3."))


def place(completions: Any, **_: Any) -> list[float]:
    """A reward with contrast whatever the policy writes."""
    return [float(index) for index in range(len(completions))]


PLACE = {f"{__name__}:place": 1.0}


def greedy(policy: LocalPolicy) -> Generated:
    """24 tokens, whatever the policy writes; the prompt fills a block of the prefix cache."""
    prompt = policy.prompt_tokens(STATE)
    assert len(prompt) > ENGINE["block_size"]
    sampling = Sampling(temperature=0.0, max_tokens=24)
    return asyncio.run(policy.generate(prompt, 1, sampling, 0, ())).continuations[0]


def moved(model: Any) -> None:
    """Change the weights that are trained, and with them what the model writes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)


def model_of(base: Base, lora: dict[str, Any] | None) -> Any:
    model = load_model(base, {})
    if lora is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, lora_config(lora))


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("lora", "engine"), [(None, ENGINE), (LORA, ENGINE), pytest.param(None, {}, marks=pytest.mark.slow)]
)
def test_the_engine_has_the_weights_of_the_model_in_training(
    lora: dict[str, Any] | None, engine: dict[str, Any]
) -> None:
    base = load_base(BASE, None)
    model = model_of(base, lora)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trained = TransformersPolicy(model, base.tokenizer, base.step_format, base.name, prefix_cache_bytes=0)
    with vllm_policy(model, base, engine) as (policy, renew):
        for _ in range(2):
            former = greedy(policy)
            moved(model)
            expected = greedy(trained)
            assert former.token_ids != expected.token_ids
            assert greedy(policy).token_ids == former.token_ids, "the engine has a copy of the weights"
            renew()
            found = greedy(policy)
            assert found.token_ids == expected.token_ids
            assert found.log_probability == pytest.approx(expected.log_probability, abs=1e-2)
    fixed = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in fixed), "merging leaves no trace"


@pytest.mark.vllm
@pytest.mark.parametrize("lora", [None, LORA])
def test_a_job_samples_with_vllm(lora: dict[str, Any] | None, tmp_path: Path) -> None:
    job = GRPOJob(
        policy=BASE,
        problems=ProblemsConfig(gym=(GymSource(family="chain_sum", level="hard", problems=4),)),
        training=GRPOConfig(**SMALL, steps=2, rewards=PLACE, lora=lora, vllm=ENGINE),
        evaluation=CurveConfig(
            cells=(EvaluationCell(family="chain_sum", level="hard"),), problems=2, every=1, samples=2
        ),
    )
    report = run_grpo_job(job, tmp_path)
    assert [entry["step"] for entry in report["log"] if "eval_greedy" in entry] == [0, 1, 2]
    assert all(entry["tokens/generated"] > 0 for entry in report["log"] if "loss" in entry)
    assert (tmp_path / "report.md").is_file()
    assert (tmp_path / "adapter").is_dir() == (lora is not None)


class Killed(Exception):
    pass


@pytest.mark.vllm
def test_a_resumed_training_samples_with_the_weights_of_its_checkpoint(tmp_path: Path) -> None:
    config = GRPOConfig(**SMALL, steps=2, save_steps=1, learning_rate=1e-3, rewards=PLACE, vllm=ENGINE)
    whole = train_grpo(sums(2), BASE, tmp_path / "whole", config)

    def kill(progress: Any) -> None:
        if progress.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train_grpo(sums(2), BASE, tmp_path / "killed", config, on_progress=kill)
    assert last_checkpoint(tmp_path / "killed") == tmp_path / "killed" / "checkpoint-1"
    resumed = train_grpo(sums(2), BASE, tmp_path / "killed", config, resume=True)
    first, second = (each for each in whole["log"] if "loss" in each)
    [_, again] = (each for each in resumed["log"] if "loss" in each)
    figures = ("tokens/generated", "entropy")
    assert [again[name] for name in figures] == pytest.approx([second[name] for name in figures], rel=1e-3)
    assert first["entropy"] != pytest.approx(second["entropy"], rel=1e-2)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_is_said_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=r"sampling with vLLM.*pip install 'treestar\[vllm\]'"):
        train_grpo(sums(2), BASE, tmp_path, GRPOConfig(vllm={}))


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("treestar.training.grpo.vllm.find_spec", lambda _: object())
    with pytest.raises(TreestarError, match="vLLM samples for a training in one process, not in 2"):
        train_grpo(sums(2), BASE, tmp_path, GRPOConfig(vllm={}))
