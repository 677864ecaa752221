"""All settings of reinforcement learning, as a dataclass that validates itself. The fields of its jobs come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal

from treestar.config.checks import check_choice, check_left_out, check_number, check_whole, invalid
from treestar.policy.formats import FormatName
from treestar.training.run import OptimizationConfig, check_arguments

__all__ = ["GRPOConfig", "ScaleRewards"]

ScaleRewards = Literal["group", "batch", "none"]

BUILT_IN = ("correct", "reasoning_present", "reasoning_and_answer", "executed", "brevity", "overlong")
"""The rewards of `treestar/verifier/rewards.py`."""

SET_BY = {
    "temperature": "temperature",
    "num_generations": "group_size",
    "generation_batch_size": "problems_per_step",
    "gradient_accumulation_steps": "problems_per_step",
    "steps_per_generation": "updates",
    "num_iterations": "iterations",
    "per_device_train_batch_size": "batch_size",
    "max_completion_length": "max_tokens",
    "reward_weights": "rewards",
    "scale_rewards": "scale_rewards",
    "save_steps": "save_steps",
    "eval_on_start": "evaluation",
}
"""Fields of `trl.GRPOConfig` on which sampling depends too, or that have to suit it, and the settings of both."""

OF_OTHER_ROLLOUTS = (
    "use_vllm",
    "use_transformers_continuous_batching",
    "generation_kwargs",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "mask_truncated_completions",
    "multi_objective_aggregation",
)
"""Those that are made for TRL's own sampling. For `mask_truncated_completions` whatever ends with a tag instead of the
end-of-sequence token is truncated."""

EVERY_STEP = ("logging_steps", "logging_strategy")
"""TRL logs the mean over a window of steps, and the tokens and seconds of the curve are sums over steps."""


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(OptimizationConfig):
    """How a policy learns from the rewards of its own trajectories: group relative policy optimization (DeepSeekMath,
    arXiv 2402.03300) with the options of later work, each of which its field names."""

    rate_scale: ClassVar[float] = 1 / 7

    steps: int = 200
    """Optimizer steps."""
    problems_per_step: int = 16
    """Problems whose trajectories are sampled together, in all processes."""
    group_size: int = 8
    """Trajectories of a problem that are learned from, G. Rewards are compared within a group."""
    updates: int = 1
    """Optimizer steps that the trajectories of a sampling are divided into. With one, the policy that learns is the one
    that sampled, and nothing is clipped."""
    iterations: int = 1
    """How often the trajectories of a sampling are learned from; mu in DeepSeekMath."""
    batch_size: int = 16
    """Maximum number of trajectories in a forward pass of each process."""
    learning_rate: float | None = None
    """The highest learning rate, which then falls to 0. By default .21 / width^1.5 (1e-6 for a width of 3,584, 5e-5 for
    256), and five times that with `muon`."""
    save_steps: int | None = None
    """How often to write a checkpoint to resume from, in steps; by default after every 10 samplings."""

    temperature: float = 1.0
    """Of the sampled trajectories."""
    max_tokens: int = 1024
    """Maximum number of tokens of a trajectory, without its prompt."""
    max_depth: int | None = None
    """Maximum number of steps per trajectory; by default what suits the step format."""
    max_step_tokens: int | None = None
    """Maximum number of tokens per step; by default what suits the step format."""
    after_error: Literal["end", "continue"] | None = None
    """Whether a step whose code fails ends its trajectory, or the policy continues in the state before it. By default
    it continues if the step format shows it the error."""
    concurrency: int = 64
    """Maximum number of problems at the same time, in each process."""

    rewards: Mapping[str, float] = field(default_factory=lambda: {"correct": 1.0})
    """The rewards and their weights: `correct`, `reasoning_present`, `reasoning_and_answer`, `executed`, `brevity`,
    `overlong` (see `treestar/verifier/rewards.py`), or `MODULE:FUNCTION` for your own function in that signature."""
    overlong_buffer: int | None = None
    """For the reward `overlong`: how many tokens before `max_tokens` the penalty begins. By default a quarter of it."""

    epsilon_low: float = 0.2
    """A token's probability ratio counts at least 1 minus this."""
    epsilon_high: float = 0.28
    """It counts at most 1 plus this. DAPO's clip-higher; equal to `epsilon_low` in PPO and DeepSeekMath."""
    beta: float = 0.0
    """Weight of the KL divergence from the initial policy; above 0, a second model is kept for it."""
    loss_type: Literal["grpo", "dr_grpo", "dapo"] = "dapo"
    """How tokens are averaged: within each trajectory (`grpo`), over `max_tokens` (`dr_grpo`, arXiv 2503.20783), or
    over all tokens of the step (`dapo`, arXiv 2503.14476)."""
    scale_rewards: ScaleRewards = "group"
    """What a reward's difference from the mean of its group is divided by: the standard deviation within the group, in
    the whole batch, or nothing (Dr. GRPO)."""

    choose_by: Literal["uniform", "pass_rate"] = "uniform"
    """How problems are chosen: each as often as the others, or with a probability that is proportional to p (1 - p),
    where p is the pass rate seen so far, 1/2 before a problem was tried."""
    dynamic_sampling: int = 2
    """Maximum number of times that groups without contrast (all rewards equal) are replaced by groups of other problems
    (DAPO); 0 turns it off."""
    resample_on_correct: bool = False
    """Sample twice `group_size` trajectories and keep half: wrong ones at random, right ones preferably with few failed
    steps and format faults (GRPO-RoC; rStar2-Agent, arXiv 2508.20722)."""
    filter_void_turns: bool = False
    """Do not learn from trajectories that end in a turn with neither code nor an answer (SimpleTIR, arXiv
    2509.02479). Their rewards still count in their groups."""
    mask_outputs: bool = True
    """Compute no loss, ratio and KL on what the executor wrote. Only turn it off to see what happens then."""
    patience: int = 20
    """Stop with an error after this many samplings in a row without any contrast."""

    vllm: Mapping[str, Any] | None = None
    """Fields of vLLM's `AsyncEngineArgs`, such as `gpu_memory_utilization`: vLLM samples and evaluates, and gets the
    trained weights before each time. An empty mapping is enough for that; null: transformers samples."""

    step_format: FormatName | None = None
    """The step format that the policy writes in; by default its own."""
    lora: Mapping[str, Any] | None = None
    """Fields of `peft.LoraConfig`: train only low-rank adapters, which are merged into the stored weights."""
    training_arguments: Mapping[str, Any] = field(default_factory=dict)
    """More fields of `trl.GRPOConfig`; they override those above. Those that say how TRL samples are refused."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        check_whole(self, "steps", "problems_per_step", "updates", "iterations", "batch_size", "concurrency")
        check_whole(self, "max_tokens", "max_depth", "max_step_tokens", "overlong_buffer", "patience")
        check_whole(self, "group_size", at_least=2)
        check_whole(self, "dynamic_sampling", at_least=0)
        check_number(self, "temperature", above=0)
        check_number(self, "epsilon_low", above=0, below=1)
        check_number(self, "epsilon_high", above=0)
        check_number(self, "beta", at_least=0)
        check_choice(self, "after_error", "loss_type", "scale_rewards", "choose_by")
        check_rewards(self)
        check_training_arguments(self)
        if self.overlong_buffer is not None and self.overlong_buffer > self.max_tokens:
            raise invalid(self, "overlong_buffer", f"at most max_tokens, {self.max_tokens}")
        if "overlong" not in self.rewards:
            check_left_out(self, "`rewards` has overlong", "overlong_buffer")
        if (self.save_steps or self.steps_per_sampling) % self.steps_per_sampling:
            raise invalid(self, "save_steps", f"a multiple of updates * iterations, {self.steps_per_sampling}")

    @property
    def steps_per_sampling(self) -> int:
        """Optimizer steps from one sampling to the next."""
        return self.updates * self.iterations


def check_rewards(config: GRPOConfig) -> None:
    for name, weight in config.rewards.items():
        if name not in BUILT_IN and ":" not in name:
            raise invalid(config, "rewards", f"weights of {', '.join(BUILT_IN)} or MODULE:FUNCTION")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
            raise invalid(config, "rewards", "names with finite numbers as weights")
    if not any(config.rewards.values()):
        raise invalid(config, "rewards", "at least one reward whose weight is not 0")


def check_training_arguments(config: GRPOConfig) -> None:
    """Raise ValueError if a field of TRL's would contradict how trajectories are sampled, or have no effect."""
    prefix = f"{type(config).__name__}.training_arguments"
    instead = {name: f"set {setting}" for name, setting in SET_BY.items()}
    elsewhere = dict.fromkeys(OF_OTHER_ROLLOUTS, "trajectories are not sampled by TRL")
    logged = dict.fromkeys(EVERY_STEP, "every step is logged, because the curve counts the tokens of each")
    check_arguments(config.training_arguments, {**instead, **elsewhere, **logged}, prefix)
