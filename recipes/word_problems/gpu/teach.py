"""Two trainings of an adapter in a given time: on programs that are shown, then on rewards for programs of its own.

The second is GRPO with the changes of DAPO and Dr. GRPO that matter here: no second copy of the policy, no clipping
(every sample is used once or twice, right away), groups without contrast left out, a loss per token.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, pstdev
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from recipes.word_problems.gpu.batches import Row, batches, log_probabilities, tensors
from recipes.word_problems.gpu.llama import Adapter, Shape, Weights, with_adapter
from recipes.word_problems.gpu.rounding import rounded
from recipes.word_problems.gpu.sampling import Marks, Sampler
from treestar.types import Problem

__all__ = ["Judge", "Question", "Training", "learn_by_reward", "learn_by_rows", "set_learning_rate"]

Item = TypeVar("Item")

Judge = Callable[[Sequence[Sequence[int]], Sequence[str]], list[bool]]
"""Says for programs in tokens, and the answers, which programs print them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its prompt in tokens and its answer."""

    id: str
    question: str
    prompt: Sequence[int]
    answer: str
    source: str

    def problem(self) -> Problem:
        return Problem(self.question, self.answer, id=self.id)


Judged = tuple[Question, Sequence[list[int]], Sequence[bool]]
"""A question, its programs, and which of them are right."""


@dataclass(slots=True)
class Training:
    """A model, the adapter that is trained, and how."""

    weights: Weights
    adapter: Adapter
    shape: Shape
    padding: int
    compiled: bool
    tokens: int
    """In a batch."""

    def merged(self) -> Weights:
        """The weights with the adapter as it will be stored."""
        return with_adapter(self.weights, rounded(self.adapter))

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.adapter.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True)

    def tensors(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        return tensors(rows, self.padding, next(iter(self.weights.values())).device, self.tokens)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def learn_by_rows(
    training: Training, rows: Sequence[Row], seconds: float, highest: float, warmup: int = 40, epochs: int = 1_000
) -> None:
    """Fine-tune on rows for so many seconds or epochs; the learning rate falls from `highest` to 0 over the seconds."""
    optimizer, random = training.optimizer(), Random(0)
    losses: list[Tensor] = []
    started, read = time.monotonic(), 0
    for step, batch in enumerate(batch for _ in range(epochs) for batch in batches(rows, random, training.tokens)):
        share = (time.monotonic() - started) / seconds
        if share >= 1:
            break
        set_learning_rate(optimizer, highest * min(1.0, (step + 1) / warmup) * (1 - share))
        ids, weights = training.tensors(batch)
        learned = weights > 0
        loss = -log_probabilities(training.merged(), ids, learned, training.shape, training.compiled).mean()
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        read += sum(len(row.ids) for row in batch)
        losses.append(loss.detach())
        if step % 25 == 0:
            passed = time.monotonic() - started
            mean = torch.stack(losses[-25:]).mean().item()
            print(f"rows: step {step}, {passed:.0f} s, {read:,} tokens, loss {mean:.4f}", flush=True)
    print(f"rows: {step} steps, {read:,} tokens", flush=True)


def learn_by_reward(
    training: Training,
    sampler: Sampler,
    judge: Judge,
    questions: Sequence[Question],
    seconds: float,
    highest: float,
    per_step: int = 256,
    group: int = 16,
    updates: int = 2,
    warmup: int = 6,
) -> None:
    """GRPO for so many seconds, in one pass over the questions: `per_step` at a time, `group` programs of each."""
    optimizer, order = training.optimizer(), Random(1).sample(questions, len(questions))
    started, update = time.monotonic(), 0
    for step, first in enumerate(range(0, len(order) - per_step + 1, per_step)):
        share = (time.monotonic() - started) / seconds
        if share >= 1:
            break
        asked = order[first : first + per_step]
        with torch.no_grad():
            sampler.load(training.merged())
        programs = sampler.sample([each.prompt for each in asked], group, 1.0)
        right = judge(programs, [each.answer for each in asked for _ in range(group)])
        judged = list(zip(asked, in_groups(programs, group), in_groups(right, group), strict=True))
        with_contrast = [each for each in judged if len(set(each[2])) == 2]
        sampled = time.monotonic()
        for part in range(updates):
            rows = [row for each in with_contrast[part::updates] for row in rewarded_rows(*each, sampler.marks)]
            set_learning_rate(optimizer, highest * min(1.0, (update + 1) / warmup) * (1 - share))
            add_gradients(training, rows, Random(update))
            optimizer.step()
            optimizer.zero_grad()
            update += 1
        told = {
            "step": step,
            "seconds": round(time.monotonic() - started, 1),
            "of them to sample": round(sampled - started - share * seconds, 2),
            "groups with contrast": len(with_contrast),
            "tokens": round(fmean(map(len, programs)), 1),
            "right": shares_by_source(judged),
        }
        print("rewards:", json.dumps(told), flush=True)


def add_gradients(training: Training, rows: Sequence[Row], random: Random) -> None:
    """Of the rows' weighted loss, per learned token of all of them."""
    learned = sum(int(np.count_nonzero(row.learned)) for row in rows)
    for batch in batches(rows, random, training.tokens):
        ids, weights = training.tensors(batch)
        chosen = weights != 0
        found = log_probabilities(training.merged(), ids, chosen, training.shape, training.compiled)
        torch.autograd.backward(-(found * weights[chosen]).sum() / learned)


def in_groups(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def shares_by_source(judged: Sequence[Judged]) -> dict[str, float]:
    """Mean share of right programs."""
    shares = defaultdict(list)
    for question, _, right in judged:
        shares[question.source].append(fmean(right))
    return {source: round(fmean(each), 3) for source, each in sorted(shares.items())}


def rewarded_rows(question: Question, programs: Sequence[list[int]], right: Sequence[bool], marks: Marks) -> list[Row]:
    """The programs of a question, weighted by their advantages: how far each reward is above the mean, in standard
    deviations."""
    mean, spread = fmean(right), pstdev(right)
    return [
        row_of(question, program, marks, (reward - mean) / spread)
        for program, reward in zip(programs, right, strict=True)
    ]


def row_of(question: Question, program: Sequence[int], marks: Marks, weight: float) -> Row:
    """The prompt and a program. What the policy wrote is learned, so not the line breaks between steps."""
    ends = (marks.step, marks.close)
    written = [tuple(program[max(0, place - 2) : place]) != ends for place in range(len(program))]
    return Row([*question.prompt, *program], [False] * len(question.prompt) + written, weight)
