"""Reinforcement learning of a policy on problems with known answers or tests, with TRL's GRPOTrainer.

To train on several devices, start the program that calls `train_grpo` with `accelerate launch` or `torchrun`: every
process passes the same arguments, samples its share of the problems, and the main process writes the files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.policy.backends.local import LocalPolicy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.formats import StepFormat
from treestar.policy.models import text_config
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.search.expansion import Components
from treestar.training.base_policy import Base, load_base, load_model, lora_config, write_policy
from treestar.training.grpo.choice import PassRates
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.evaluation import HeldOut, Outcome, evaluate
from treestar.training.grpo.policy import OwnTokensPolicy
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.grpo.reward_functions import reward_functions
from treestar.training.grpo.sampling import Sampled, sample_for_step
from treestar.training.grpo.vllm import check_vllm, vllm_policy
from treestar.training.run import (
    check_training,
    is_sharded,
    making_trainer,
    optimization_arguments,
    optimizer_of,
    process_count,
    train,
)
from treestar.types import Closable, Executor, Problem, TreestarError, Verifier
from treestar.verifier import AnswerVerifier

if TYPE_CHECKING:
    from treestar.training.grpo.trainer import PolicyGRPOTrainer

__all__ = ["check_extends_prompt", "train_grpo", "train_grpo_on"]

SAMPLINGS_PER_CHECKPOINT = 10

PREFIX_CACHE_BYTES = 2**28
"""Keys and values are forgotten at every step, so a small cache is enough."""


def train_grpo(
    problems: Sequence[Problem],
    policy: str,
    out: str | Path,
    config: GRPOConfig | None = None,
    *,
    held_out: HeldOut | None = None,
    evaluate_every: int = 20,
    evaluation_samples: int = 0,
    sandbox: SandboxConfig | None = None,
    resume: bool = False,
    on_progress: Callable[[GRPOProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Train a policy by GRPO and write it into the folder `out`, with `training.json`.

    The folder is an ordinary Hugging Face checkpoint that `load_policy` loads, as `train_policy` writes it.

    Args:
        problems: those to learn from, with a gold answer or unit tests.
        policy: the policy that is trained: a shipped or fetched policy, a model folder, a GGUF file, or a hub id.
        held_out: problems to evaluate on, by cell.
        evaluate_every: steps from one evaluation to the next, 1 or more.
        evaluation_samples: how often each held-out problem is sampled, besides the greedy answer.
        resume: continue from the last checkpoint in `out`, if any.
        on_progress: called with the figures of every step and evaluation, in the main process.

    Returns:
        The content of `training.json`: settings, counts, the `log` of all figures, seconds and tokens.

    Raises:
        TreestarError: a package is missing, the policy cannot be loaded or is to be in shards, the problems cannot be
            learned from, a reward failed, `out` contains another run, or training diverged.
    """
    config, out = config or GRPOConfig(), Path(out)
    check_problems(problems)
    if evaluate_every < 1:
        raise TreestarError(f"evaluate_every must be 1 or more steps, not {evaluate_every}")
    check_training(out, resume)
    base = load_base(policy, config.step_format)
    check_extends_prompt(base.step_format)
    return train_grpo_on(
        base,
        problems,
        out,
        config,
        SandboxExecutor(sandbox or SandboxConfig()),
        AnswerVerifier(),
        held_out=held_out or {},
        evaluate_every=evaluate_every,
        evaluation_samples=evaluation_samples,
        on_progress=on_progress,
    )


def train_grpo_on(
    base: Base,
    problems: Sequence[Problem],
    out: Path,
    config: GRPOConfig,
    executor: Executor,
    verifier: Verifier,
    *,
    held_out: HeldOut,
    evaluate_every: int,
    evaluation_samples: int = 0,
    on_progress: Callable[[GRPOProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Train `base`; as `train_grpo`, which loads it.

    Args:
        executor: runs the steps, and is closed at the end.
        verifier: decides which trajectories are right; closed too, where it can be.
    """
    check_vllm(config)
    if is_sharded(config.training_arguments):
        raise TreestarError("a model in shards (FSDP) cannot sample: every process needs all weights")
    settings = {"policy": base.name, "evaluation": [evaluate_every, evaluation_samples], **asdict(config)}
    counts = {"problems": len(problems), "held_out": sum(map(len, held_out.values()))}
    report = {"settings": settings, "fingerprint": fingerprint(problems, held_out), "data": counts}

    with ExitStack() as opened:
        loop = asyncio.new_event_loop()
        opened.callback(loop.close)
        for part in (executor, verifier):
            if isinstance(part, Closable):
                opened.callback(lambda part: loop.run_until_complete(part.close()), part)
        functions = reward_functions(config)

        def make_trainer() -> PolicyGRPOTrainer:
            trainer = trainer_of(base, len(problems), out, config)
            writer, renew = opened.enter_context(sampling_policy(trainer.model, base, config))
            own = Components(OwnTokensPolicy(writer, config.max_tokens), executor, verifier)
            usual = Components(writer, executor, verifier)

            def sample(chosen: Sequence[int], rates: PassRates, key: str) -> Sampled:
                renew()
                with without_autocast(trainer.model):
                    return loop.run_until_complete(
                        sample_for_step(chosen, problems, config, own, functions, rates, key)
                    )

            def answers() -> list[Outcome]:
                renew()
                process = trainer.accelerator.process_index
                share = [(cell, each) for cell, found in held_out.items() for each in found][process :: process_count()]
                with without_autocast(trainer.model):
                    return loop.run_until_complete(evaluate(share, evaluation_samples, config, usual, own))

            from treestar.training.grpo.callbacks import Evaluation, report_to

            trainer.sample = sample
            report_to(trainer, on_progress)
            if any(held_out.values()):
                trainer.add_callback(Evaluation(trainer, answers, evaluate_every, evaluation_samples, out))
            return trainer

        def finish(trainer: Any, folder: Path) -> dict[str, Any]:
            write_policy(base, folder)
            log = trainer.state.log_history
            return {"tokens": round(sum(entry.get("tokens/generated", 0) for entry in log)), "log": log}

        return train(make_trainer, out, report, "problems", finish)


@contextmanager
def sampling_policy(model: Any, base: Base, config: GRPOConfig) -> Iterator[tuple[LocalPolicy, Callable[[], None]]]:
    """The policy that samples, and what must be called whenever the weights of `model` have changed."""
    if config.vllm is not None:
        with vllm_policy(model, base, config.vllm) as found:
            yield found
        return
    policy = TransformersPolicy(
        model, base.tokenizer, base.step_format, base.name, prefix_cache_bytes=PREFIX_CACHE_BYTES
    )
    yield policy, policy.forget


@contextmanager
def without_autocast(model: Any) -> Iterator[None]:
    """Compute with the weights as they are. In mixed precision, accelerate replaces the forward of a model by one that
    rounds all weights again each time, which is slow for single tokens, and mixes types in the batch of a policy."""
    if not hasattr(model, "_original_forward"):
        yield
        return
    mixed, model.forward = model.forward, model._original_forward
    try:
        yield
    finally:
        model.forward = mixed


def check_problems(problems: Sequence[Problem]) -> None:
    """Raise TreestarError if there are no problems, or nothing says which of their answers are right."""
    if not problems:
        raise TreestarError("there are no problems to learn from")
    for problem in problems:
        if problem.answer is None and problem.kind != "code":
            raise TreestarError(f"problem {problem.id!r} has no gold answer, so no trajectory of it can be rewarded")


def check_extends_prompt(step_format: StepFormat) -> None:
    """Raise TreestarError if a step changes what the policy read before it: then the tokens of earlier steps could not
    be learned under what was before them when they were drawn."""
    if step_format.name == "retrieval":
        raise TreestarError(
            "policies of the step format retrieval cannot be reinforced, because paragraphs that a step finds are put "
            "before earlier steps: choose another step_format, or distill a teacher with `treestar train steper`"
        )


def fingerprint(problems: Sequence[Problem], held_out: HeldOut) -> str:
    """Equal for equal problems."""
    found = (
        [(each.question, each.answer) for each in problems],
        sorted((cell, each.question) for cell, of_cell in held_out.items() for each in of_cell),
    )
    return blake2b(repr(found).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def trainer_of(base: Base, problems: int, out: Path, config: GRPOConfig) -> PolicyGRPOTrainer:
    """Raises TreestarError if the weights cannot be read, or transformers, TRL or peft reject the settings."""
    from trl import GRPOConfig as TRLConfig

    from treestar.training.grpo.trainer import PolicyGRPOTrainer

    arguments = {
        "output_dir": str(out),
        **arguments_of(config, text_config(base.config).hidden_size),
        **config.training_arguments,
    }
    model = load_model(base, arguments)
    with making_trainer():
        return PolicyGRPOTrainer(
            model,
            base.tokenizer,
            problems,
            config,
            TRLConfig(**arguments),
            lora_config(config.lora),
            optimizer_of(config, arguments),
        )


def arguments_of(config: GRPOConfig, width: int) -> dict[str, Any]:
    """`config` as fields of `trl.GRPOConfig`.

    Raises:
        TreestarError: the trajectories of a sampling cannot be divided among processes and updates.
    """
    rows, remainder = divmod(config.problems_per_step * config.group_size, process_count() * config.updates)
    if config.problems_per_step % process_count() or remainder:
        raise TreestarError(
            f"{config.problems_per_step} problems with {config.group_size} trajectories each cannot be divided among "
            f"{process_count()} processes and {config.updates} updates: change problems_per_step or updates"
        )
    batch = max(size for size in range(1, min(config.batch_size, rows) + 1) if rows % size == 0)
    return {
        **optimization_arguments(config, width),
        "max_steps": config.steps,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": rows // batch,
        "steps_per_generation": rows // batch * config.updates,
        "num_generations": config.group_size,
        "num_iterations": config.iterations,
        "max_completion_length": config.max_tokens,
        "temperature": config.temperature,
        "epsilon": config.epsilon_low,
        "epsilon_high": config.epsilon_high,
        "beta": config.beta,
        "loss_type": config.loss_type,
        "reward_weights": list(config.rewards.values()),
        "save_strategy": "steps",
        "save_steps": config.save_steps or SAMPLINGS_PER_CHECKPOINT * config.steps_per_sampling,
        "logging_steps": 1,
        "shuffle_dataset": False,
    }
