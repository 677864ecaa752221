"""A process preference model on the policy's weights: a head and a small adapter, trained on pairs of states."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recipes.word_problems.gpu.batches import LENGTHS, padded_length
from recipes.word_problems.gpu.llama import hidden_states
from recipes.word_problems.gpu.teach import Training, set_learning_rate

__all__ = ["Comparison", "Verifier", "learn_by_pairs", "pair_accuracy", "scores"]

CENTERING = 0.1
"""As in treestar's own training of PPMs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The pairs of one question: the tokens of its states, and which of them is better than which."""

    states: Sequence[Sequence[int]]
    pairs: Sequence[tuple[int, int, float]]
    """Places of the chosen and the rejected state, and the pair's weight."""


@dataclass(slots=True)
class Verifier:
    """The adapter with what it changes, and the head."""

    training: Training
    head: Tensor
    """Shape (hidden,), float32."""


def logits(verifier: Verifier, states: Sequence[Sequence[int]], columns: int) -> Tensor:
    """Before tanh, at the last token of every state, shape (states,). All states have at most so many columns."""
    training = verifier.training
    device = verifier.head.device
    ids = torch.full((training.tokens // columns, columns), training.padding)
    for row, state in enumerate(states):
        ids[row, : len(state)] = torch.tensor(state)
    lasts = torch.tensor([len(state) - 1 for state in states], device=device)
    hidden = hidden_states(training.merged(), ids.to(device), training.shape, training.compiled)
    return hidden[torch.arange(len(states), device=device), lasts].float() @ verifier.head


def grouped(questions: Sequence[Comparison], tokens: int, random: Random) -> list[tuple[int, list[Comparison]]]:
    """Batches of whole questions with the number of columns, in a random order. A question that does not fit into a
    batch is left out."""
    by_length: dict[int, list[Comparison]] = {}
    for question in questions:
        longest = max(map(len, question.states))
        if longest <= LENGTHS[-1] and len(question.states) <= tokens // padded_length(longest):
            by_length.setdefault(padded_length(longest), []).append(question)
    found = []
    for columns, group in by_length.items():
        random.shuffle(group)
        found += [(columns, batch) for batch in filled(group, tokens // columns)]
    random.shuffle(found)
    return found


def filled(questions: Sequence[Comparison], rows: int) -> Iterator[list[Comparison]]:
    """The questions in batches that have at most so many states together."""
    batch: list[Comparison] = []
    for question in questions:
        if sum(len(each.states) for each in [*batch, question]) > rows:
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch


def pair_logits(verifier: Verifier, columns: int, batch: Sequence[Comparison]) -> tuple[Tensor, Tensor, Tensor]:
    """Of the chosen states, of the rejected ones, and the pairs' weights."""
    states = [state for question in batch for state in question.states]
    found = logits(verifier, states, columns)
    chosen, rejected, weights, first = [], [], [], 0
    for question in batch:
        for better, worse, weight in question.pairs:
            chosen.append(first + better)
            rejected.append(first + worse)
            weights.append(weight)
        first += len(question.states)
    return found[chosen], found[rejected], torch.tensor(weights, device=found.device)


def learn_by_pairs(verifier: Verifier, questions: Sequence[Comparison], seconds: float, highest: float) -> None:
    """The loss of rStar-Math's equation 4, for so many seconds or three epochs."""
    training, random = verifier.training, Random(0)
    losses: list[Tensor] = []
    optimizer = torch.optim.AdamW([*training.adapter.parameters(), verifier.head], lr=0.0, betas=(0.9, 0.98))
    started = time.monotonic()
    for epoch in range(3):
        for columns, batch in grouped(questions, training.tokens, random):
            share = (time.monotonic() - started) / seconds
            if share >= 1:
                return
            set_learning_rate(optimizer, highest * min(1.0, (len(losses) + 1) / 20) * (1 - share))
            chosen, rejected, weights = pair_logits(verifier, columns, batch)
            terms = -logsigmoid(chosen.tanh() - rejected.tanh()) + CENTERING * (chosen + rejected) ** 2
            loss = (terms * weights).sum() / weights.sum()
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
            if len(losses) % 20 == 0:
                mean = torch.stack(losses[-20:]).mean().item()
                passed = share * seconds
                print(f"pairs: epoch {epoch}, {len(losses)} steps, {passed:.0f} s, loss {mean:.4f}", flush=True)


@torch.no_grad()
def pair_accuracy(verifier: Verifier, questions: Sequence[Comparison]) -> tuple[float, int]:
    """The share of pairs whose chosen state scores higher, and their number; a tie counts half."""
    right, pairs = 0.0, 0
    for columns, batch in grouped(questions, verifier.training.tokens, Random(0)):
        chosen, rejected, _ = pair_logits(verifier, columns, batch)
        right += ((chosen > rejected) + 0.5 * (chosen == rejected)).sum().item()
        pairs += len(chosen)
    return right / max(1, pairs), pairs


@torch.no_grad()
def scores(verifier: Verifier, states: Sequence[Sequence[int]]) -> list[float]:
    """In [-1, 1], one for each state; none has more than LENGTHS[-1] tokens."""
    places: dict[int, list[int]] = {}
    for place, state in enumerate(states):
        places.setdefault(padded_length(len(state)), []).append(place)
    found = [0.0] * len(states)
    for columns, alike in places.items():
        size = verifier.training.tokens // columns
        for part in (alike[start : start + size] for start in range(0, len(alike), size)):
            values = logits(verifier, [states[place] for place in part], columns).tanh()
            for place, value in zip(part, values.tolist(), strict=True):
                found[place] = value
    return found
