"""All settings of a judge's training, as dataclasses that validate themselves. The fields of jobs come from them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from treestar.config.checks import check_choice, check_left_out, check_number, check_whole, invalid
from treestar.judge.labels import LabelConfig, LabelRule
from treestar.training.grpo.config import GRPOConfig
from treestar.training.sft.config import SFTTrainingConfig

__all__ = ["JudgeGRPOConfig", "JudgeMode", "JudgeTrainingConfig"]

JudgeMode = Literal["grpo", "direct", "rejection", "discriminative"]


@dataclass(frozen=True, kw_only=True)
class JudgeGRPOConfig(GRPOConfig):
    """The reinforcement of a judge. Its "problems" are prompts about one chunk each, and a trajectory is one reply. The
    paper has 1,024 prompts a step in 4 updates, groups of 4, 800 steps, a learning rate of 1e-6 for 7 billion
    parameters and replies of up to 3,096 tokens."""

    problems_per_step: int = 64
    """Prompts whose replies are sampled together, in all processes."""
    group_size: int = 4
    """Replies to a prompt that are learned from."""
    updates: int = 4
    """Optimizer steps that the replies of a sampling are divided into."""

    def for_replies(self) -> GRPOConfig:
        """These settings with trajectories of one step."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return GRPOConfig(**{**values, "max_depth": 1, "max_step_tokens": self.max_tokens})

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        for name in ("max_depth", "max_step_tokens", "step_format", "after_error"):
            if getattr(self, name) is not None:
                raise invalid(self, name, "left out: a judge's reply is one step of at most max_tokens")


@dataclass(frozen=True, kw_only=True)
class JudgeTrainingConfig:
    """How a judge is trained on labeled chunks (StepWiser, arXiv 2508.19229, section 3.3)."""

    mode: JudgeMode = "grpo"
    """`grpo`: an analysis, then the verdict, by reinforcement. `direct`: the verdict alone, by reinforcement; no
    verdict costs 1. `rejection`: fine-tuning on the base's own right replies. `discriminative`: fine-tuning to answer
    each chunk with + or -."""
    rule: LabelRule | None = None
    """Label the chunks again by this rule, from their stored values; by default the labels as they are stored."""
    gamma: float = 0.8
    """For `rel_ratio`: the ratio that a positive chunk exceeds."""
    alpha: float = 0.4
    """For `rel_effective`: the weight of what the chunk adds."""
    best_of: int = 4
    """For `rel_effective`: n of best-of-n."""
    balance: bool = True
    """Draw as many chunks of the more frequent label as there are of the other."""
    held_out: float = 0.05
    """Share of the problems whose chunks are held out for evaluation."""
    evaluated: int = 200
    """Maximum number of held-out chunks to evaluate on; half of them are positive."""
    evaluate_every: int = 40
    """For reinforcement: steps between evaluations on held-out chunks."""
    min_prompt_tokens: int = 1
    """Shorter prompts are left out."""
    max_prompt_tokens: int = 3096
    """Longer prompts are left out."""
    replies: int = 8
    """For `rejection`: replies sampled to each prompt."""
    replies_kept: int = 1
    """For `rejection`: maximum number of right replies per prompt to train on."""
    seed: int = 0
    """Seed of what is held out and of balancing. The trainings have separate seeds."""
    grpo: JudgeGRPOConfig = field(default_factory=JudgeGRPOConfig)
    """The reinforcement; its temperature and limits also hold for `rejection`."""
    sft: SFTTrainingConfig = field(default_factory=SFTTrainingConfig)
    """The fine-tuning: of the cold start, of `rejection` and of `discriminative`."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        check_choice(self, "mode", "rule")
        check_number(self, "gamma", "alpha", at_least=0)
        check_number(self, "held_out", at_least=0, below=1)
        check_whole(self, "best_of", "evaluated", "evaluate_every", "max_prompt_tokens", "replies", "replies_kept")
        check_whole(self, "min_prompt_tokens", at_least=0)
        if self.rule is None:
            check_left_out(self, "rule is given (without, labels stay as they are stored)", "gamma", "alpha", "best_of")
        if self.mode != "rejection":
            check_left_out(self, "the mode is rejection", "replies", "replies_kept")

    def within(self, context: int) -> JudgeTrainingConfig:
        """These settings for a model of that many tokens: a reply has at most half of them, and a prompt the rest."""
        reply = min(self.grpo.max_tokens, context // 2)
        prompt = min(self.max_prompt_tokens, context - reply)
        buffer = None if self.grpo.overlong_buffer is None else min(self.grpo.overlong_buffer, reply)
        return replace(
            self, max_prompt_tokens=prompt, grpo=replace(self.grpo, max_tokens=reply, overlong_buffer=buffer)
        )

    @property
    def labels(self) -> LabelConfig | None:
        """The rule to label by; None: labels as stored."""
        if self.rule is None:
            return None
        return LabelConfig(rule=self.rule, gamma=self.gamma, alpha=self.alpha, best_of=self.best_of)

    @property
    def analysis(self) -> bool:
        """Whether the judge reasons before its verdict."""
        return self.mode in ("grpo", "rejection")
