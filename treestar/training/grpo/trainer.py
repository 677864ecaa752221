"""TRL's GRPOTrainer with treestar's rollouts: TRL computes the loss, the engine samples and executes.

TRL's data set is a placeholder that only counts. Whenever TRL asks for trajectories, this trainer chooses the problems,
samples groups with the weights as they are now, and hands them over by `rollout_func`, with what the executor wrote in
`env_mask`. Every process samples whole groups, so advantages need no other process.

Imports trl at the top; import this module only to train.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate.utils import gather_object
from trl import GRPOConfig as TRLConfig
from trl import GRPOTrainer

from treestar.storage.files import read_json, write_json
from treestar.training.grpo.choice import PassRates, problems_of_sampling
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.figures import figures_of
from treestar.training.grpo.groups import advantages, has_contrast
from treestar.training.grpo.rollouts import Rollout
from treestar.training.grpo.sampling import Sampled
from treestar.training.trainer import Discreet, finite
from treestar.types import TreestarError

__all__ = ["PolicyGRPOTrainer", "Sample", "without_padding"]

STATE = "grpo.json"
"""The file in a checkpoint with what TRL does not know: the pass rates, and samplings without contrast in a row."""

OF_END_TOKENS = (
    "completions/clipped_ratio",
    "completions/mean_terminated_length",
    "completions/min_terminated_length",
    "completions/max_terminated_length",
)
"""Figures for which TRL counts whatever ends with a tag as cut off; `policy/truncated` is right."""

Sample = Callable[[Sequence[int], PassRates, str], Sampled]
"""Samples groups of the problems with these indices; the text determines all random draws."""


class PolicyGRPOTrainer(Discreet, GRPOTrainer):  # type: ignore[misc]
    """Trains `model` in place.

    Args:
        tokenizer: the model's; TRL can add a padding token.
        problems: number of training problems.
        lora: a `peft.LoraConfig`, or None to train all weights.
        optimizer: as `run.optimizer_of` returns it.
    """

    sample: Sample
    """Set after the trainer has been made, because it needs the model."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        problems: int,
        config: GRPOConfig,
        arguments: TRLConfig,
        lora: Any,
        optimizer: tuple[Any, dict[str, Any]] | None,
    ) -> None:
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL warns that `rollout_func` may change
        self.config = config
        self.rates = PassRates.unknown(problems)
        self.without_contrast = 0
        """Samplings in a row without any contrast."""
        self.rollouts: list[Rollout] = []
        super().__init__(
            model=model,
            args=arguments,
            reward_funcs=[stored_reward(name) for name in config.rewards],
            train_dataset=datasets.Dataset.from_dict({"prompt": [""] * config.problems_per_step}),
            processing_class=tokenizer,
            peft_config=lora,
            rollout_func=lambda _prompts, trainer: token_rows(trainer.rollouts, config),
        )
        if optimizer is not None:
            self.optimizer_cls_and_kwargs = optimizer

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The next batch: one row for each of `inputs`, which only says how many rows this process needs."""
        sampled = self.next_sample(len(inputs) // self.config.group_size)
        self.rollouts = [rollout for group in sampled.groups for rollout in group]
        rewards = torch.tensor(
            [[torch.nan if rollout.reward is None else rollout.reward for rollout in group] for group in sampled.groups]
        )
        batch: dict[str, Any] = super()._generate_and_score_completions(
            [{"prompt": rollout.problem.question, "given_rewards": rollout.rewards} for rollout in self.rollouts]
        )
        for name in OF_END_TOKENS:
            self._metrics["train"].pop(name, None)
        everywhere = advantages(self.accelerator.gather(rewards.to(self.accelerator.device)), self.config.scale_rewards)
        first = self.accelerator.process_index * len(sampled.groups)
        batch["advantages"] = everywhere[first : first + len(sampled.groups)].flatten()
        return batch

    def next_sample(self, groups: int) -> Sampled:
        """Sample with the weights as they are now.

        Raises:
            TreestarError: there was no contrast for too long.
        """
        started = time.perf_counter()
        number = self.state.global_step // self.config.steps_per_sampling
        processes, process = self.accelerator.num_processes, self.accelerator.process_index
        by_pass_rate = self.config.choose_by == "pass_rate"
        chosen = problems_of_sampling(number, groups * processes, self.rates, by_pass_rate, self.config.seed)
        mine = chosen[process * groups : (process + 1) * groups]
        self.model.eval()
        sampled = self.sample(mine, self.rates, f"{number} {process}")
        self.model.train()
        for problem, tried, solved in gather_object(sampled.tried):
            self.rates.add(problem, tried, solved)
        seconds = time.perf_counter() - started
        totals = self.total(figures_of(sampled) | {"groups/with_contrast": sum(map(has_contrast, sampled.groups))})
        self.without_contrast = 0 if totals.pop("groups/with_contrast") else self.without_contrast + 1
        if self.without_contrast >= self.config.patience:
            raise TreestarError(
                f"in the last {self.without_contrast} samplings all trajectories of each problem had the same reward, "
                "so there is nothing to learn from: choose problems that the policy sometimes solves, a larger "
                "group_size, or a reward that tells its trajectories apart"
            )
        for name, value in {**totals, "seconds/sampling": seconds}.items():
            self._metrics["train"][name].append(value)
        return sampled

    def total(self, figures: Mapping[str, float | tuple[float, float]]) -> dict[str, float]:
        """Counts added up over all processes, and of (sum, number) pairs the means; those of nothing are left out."""
        pairs = [value if isinstance(value, tuple) else (value, -1.0) for value in figures.values()]
        summed = self.accelerator.reduce(torch.tensor(pairs, device=self.accelerator.device), "sum").tolist()
        found: dict[str, float] = {}
        for name, (value, number) in zip(figures, summed, strict=True):
            if number < 0:
                found[name] = value
            elif number > 0:
                found[name] = value / number
        return found

    def _prepare_inputs(self, generation_batch: dict[str, Any]) -> dict[str, Any]:
        """The rows of the next forward pass: TRL pads them to the longest of the whole sampling."""
        return without_padding(super()._prepare_inputs(generation_batch))

    def compute_loss(self, *arguments: Any, **named: Any) -> Any:
        """Raises TreestarError if the loss is not a finite number."""
        return finite(super().compute_loss(*arguments, **named), self)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            rates = {"tried": self.rates.tried, "solved": self.rates.solved}
            write_json(folder / STATE, {**rates, "without_contrast": self.without_contrast})
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(checkpoint, model)
        found = read_json(Path(checkpoint) / STATE)
        self.rates = PassRates(found["tried"], found["solved"])
        self.without_contrast = found["without_contrast"]


def without_padding(rows: dict[str, Any]) -> dict[str, Any]:
    """A part of TRL's batch without the columns that are padding in all of its rows: on the left of prompts, on the
    right of completions and of everything with a value for each of their tokens. Losses are sums over `completion_mask`
    and do not change.

    Args:
        rows: TRL's names; `prompt_ids` and `prompt_mask` have shape (rows, prompt), `completion_mask` (rows,
            completion), and so have all other matrices.
    """
    prompt, completion = (rows[name].any(dim=0).nonzero() for name in ("prompt_mask", "completion_mask"))
    begin, width = int(prompt.min()), rows["completion_mask"].shape[1]
    end = int(completion.max()) + 1 if len(completion) else 1
    found = {}
    for name, values in rows.items():
        if name in ("prompt_ids", "prompt_mask"):
            found[name] = values[:, begin:]
        elif isinstance(values, torch.Tensor) and values.dim() == 2 and values.shape[1] == width:
            found[name] = values[:, :end]
        else:
            found[name] = values
    return found


def stored_reward(name: str) -> Callable[..., list[float | None]]:
    """A reward function for TRL that returns what the trajectories were given when they were sampled."""

    def reward(given_rewards: Sequence[Mapping[str, float | None]], **_: Any) -> list[float | None]:
        return [given[name] for given in given_rewards]

    reward.__name__ = name
    return reward


def token_rows(rollouts: Sequence[Rollout], config: GRPOConfig) -> dict[str, Any]:
    """What TRL wants of a rollout function. `logprobs` are only needed for another engine's weights."""
    return {
        "prompt_ids": [rollout.prompt_ids for rollout in rollouts],
        "completion_ids": [rollout.completion_ids for rollout in rollouts],
        "logprobs": None,
        "env_mask": [learned_tokens(rollout, config) for rollout in rollouts],
    }


def learned_tokens(rollout: Rollout, config: GRPOConfig) -> list[int]:
    """1 for the tokens of the completion that have a loss."""
    if config.filter_void_turns and rollout.is_void:
        return [0] * len(rollout.own)
    return rollout.own if config.mask_outputs else [1] * len(rollout.own)
