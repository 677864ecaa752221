"""A difficulty model: how much more rollouts helped in earlier runs, by what the first ones had told.

Damani et al. 2024 (arXiv 2410.04707) learn the marginal reward of the b-th sample from the question's hidden state.
Here a small network reads the evidence of a problem, so it serves any policy whose text can be sampled. Its data are
the samples that `treestar bench` keeps: every beginning of them, in many orders, is a problem with that evidence, and
the further samples show what more rollouts would have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from random import Random
from typing import Any

from treestar.allocation.evidence import Evidence
from treestar.benchmarks.samples import Row
from treestar.storage.files import read_json, write_json
from treestar.types import TreestarError

__all__ = ["DifficultyModel", "evidence_of_samples", "majority_right", "train_difficulty"]

AHEAD = (0, 1, 2, 4, 8)
"""The numbers of further rollouts after which the network predicts whether the majority is right."""
HIDDEN, STEPS, BATCH, LEARNING_RATE = 16, 500, 512, 0.02
ORDERS = 12
"""Orders of each problem's samples that training sees."""


@dataclass(frozen=True)
class DifficultyModel:
    """A network with one hidden layer.

    Its output `k` is the logit of the chance that the majority is right after `AHEAD[k]` more rollouts.
    """

    mean: list[float]
    """Of each feature in the training data; features are standardized."""
    deviation: list[float]
    weights: list[list[list[float]]]
    """Of the two layers, shape (outputs, inputs)."""
    biases: list[list[float]]

    def chances(self, evidence: Sequence[Evidence]) -> Any:
        """The chances that the majority is right after `AHEAD` more rollouts, shape (problems, len(AHEAD))."""
        import numpy as np

        values = (np.array([features(each) for each in evidence]) - self.mean) / self.deviation
        hidden = np.tanh(values @ np.array(self.weights[0]).T + self.biases[0])
        return 1 / (1 + np.exp(-(hidden @ np.array(self.weights[1]).T + self.biases[1])))

    def gain(self, evidence: Sequence[Evidence]) -> list[float]:
        """The expected gain of one more rollout: the largest gain per rollout over those that `AHEAD` looks at."""
        import numpy as np

        if not evidence:
            return []
        chances = self.chances(evidence)
        gains = (chances[:, 1:] - chances[:, :1]) / np.array(AHEAD[1:])
        return [float(each) for each in gains.max(axis=1)]

    def save(self, path: Path) -> None:
        """Write the model to a JSON file. Raises OSError."""
        write_json(path, {"ahead": AHEAD, **vars(self)})

    @classmethod
    def load(cls, path: Path) -> DifficultyModel:
        """The model that `save` wrote. Raises TreestarError for another file."""
        try:
            data = read_json(path)
            if tuple(data.pop("ahead")) != AHEAD:
                raise ValueError("it looks ahead otherwise")
            return cls(**data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TreestarError(f"{path} is not a difficulty model of this version: {error}") from error


def features(evidence: Evidence) -> list[float]:
    """What the network reads of a problem."""
    first, second, *_ = [*evidence.votes, 0, 0]
    rollouts, answered = max(evidence.rollouts, 1), sum(evidence.votes)
    return [
        log(rollouts),
        first / rollouts,
        second / rollouts,
        log(1 + first - second),
        len(evidence.votes) / rollouts,
        answered / rollouts,
        evidence.log_probability,
        evidence.score,
    ]


def evidence_of_samples(row: Mapping[str, Any], places: Sequence[int]) -> Evidence:
    """The evidence in the samples at `places` of a problem in samples.jsonl."""
    answered = [place for place in places if row["group"][place] >= 0]
    scores = row["scores"]
    return Evidence(
        votes=tuple(sorted(Counter(row["group"][place] for place in answered).values(), reverse=True)),
        rollouts=len(places),
        tokens=sum(row["tokens"][place] for place in places),
        log_probability=sum(scores["log_probability"][place] for place in answered) / max(len(answered), 1),
        score=sum(scores["ppm"][place] for place in answered) / max(len(answered), 1) if "ppm" in scores else 0.0,
    )


def majority_right(row: Mapping[str, Any], places: Sequence[int]) -> bool:
    """Whether the majority of the samples at `places` is right; of tied answers the one found first."""
    votes = Counter(row["group"][place] for place in places if row["group"][place] >= 0)
    if not votes:
        return False
    winner = votes.most_common(1)[0][0]
    return bool(row["right"][row["group"].index(winner)])


def examples(rows: Sequence[Row], seed: int) -> Iterator[tuple[list[float], list[bool]]]:
    """The features of beginnings of every problem's samples, and whether the majority is right `AHEAD` later."""
    rng = Random(seed)
    for row in rows:
        places = list(range(len(row["group"])))
        for _ in range(ORDERS):
            rng.shuffle(places)
            for count in range(1, len(places) - AHEAD[-1] + 1):
                yield (
                    features(evidence_of_samples(row, places[:count])),
                    [majority_right(row, places[: count + ahead]) for ahead in AHEAD],
                )


def train_difficulty(rows: Iterable[Row], seed: int = 0) -> DifficultyModel:
    """Train a difficulty model on the samples of earlier runs: lines of samples.jsonl of the method `sampling`.

    Raises:
        TreestarError: no line has more than `AHEAD[-1]` samples.
    """
    import torch

    enough = [row for row in rows if "acc" not in row and len(row["group"]) > AHEAD[-1]]
    if not enough:
        raise TreestarError(
            f"a difficulty model learns from problems with more than {AHEAD[-1]} independent samples, and there is "
            "none: run `treestar bench` with --strategy majority and --samples 16 or more"
        )
    read, right = zip(*examples(enough, seed), strict=True)
    inputs, targets = torch.tensor(read), torch.tensor(right, dtype=torch.float32)
    mean, deviation = inputs.mean(0), inputs.std(0).clamp(min=1e-3)
    inputs = (inputs - mean) / deviation
    generator = torch.Generator().manual_seed(seed)
    sizes = (inputs.shape[1], HIDDEN, len(AHEAD))
    weights = [torch.randn(out, into, generator=generator) / into**0.5 for into, out in pairwise(sizes)]
    biases = [torch.zeros(size) for size in sizes[1:]]
    parameters = [each.requires_grad_() for each in (*weights, *biases)]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        places = torch.randint(len(inputs), (BATCH,), generator=generator)
        logits = torch.tanh(inputs[places] @ weights[0].T + biases[0]) @ weights[1].T + biases[1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[places])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return DifficultyModel(
        mean.tolist(),
        deviation.tolist(),
        [each.tolist() for each in weights],
        [each.tolist() for each in biases],
    )
