"""Problems of the package reasoning-gym, by family and level, in splits that never share a question.

A question belongs to the split that a hash of its text names, so the splits are disjoint whatever seeds and sizes are
used, and also against sets made later. reasoning-gym's item i is drawn with seed + i; the sets made here start
`SEED_STRIDE` apart, further than any set is large. The instructions about answer formatting at the end of some
questions are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Literal, get_args

from treestar.types import Problem

__all__ = [
    "FAMILIES",
    "GSM_HELDOUT",
    "GSM_TAUGHT",
    "GSM_UNTAUGHT",
    "LEVELS",
    "Split",
    "cells",
    "iter_problems",
    "make_problems",
    "split_of",
]

Split = Literal["train", "validation", "test"]

SEED_STRIDE = 1_000_000
"""Distance between the first seeds of two sets."""

GSM_TAUGHT = (1, 3, 4, 5, 8, 9, 12, 16, 18, 19, 20, 21, 22, 23, 24, 25, 27, 29, 31, 33, 36, 38, 40, 42, 45, 47, 48, 50,
              54, 55, 57, 60, 62, 64, 72, 73, 85, 89, 91, 93, 94, 95, 96)  # fmt: skip
"""gsm_symbolic templates that the bootstrap policy is taught."""
GSM_UNTAUGHT = (2, 6, 7, 11, 17, 26, 34, 41, 44, 46, 49, 51, 52, 53, 58, 66, 67, 69, 75, 78, 82, 84, 92, 99)
"""Templates without a teacher, left for self-evolution to discover by search."""
GSM_HELDOUT = (0, 10, 13, 14, 15, 28, 30, 39, 43, 56, 59, 68, 70, 71, 80, 81, 83, 88)
"""Templates that nothing is ever trained on: drawn at random (seed 2026) before any teacher was written."""

_GSM_GROUPS: Mapping[str, tuple[int, ...]] = {
    "taught": GSM_TAUGHT,
    "untaught": GSM_UNTAUGHT,
    "heldout": GSM_HELDOUT,
}

LEVELS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "chain_sum": {
        "easy": {"min_terms": 2, "max_terms": 4, "max_digits": 5},
        "mid": {"min_terms": 5, "max_terms": 6, "max_digits": 5},
        "hard": {"min_terms": 7, "max_terms": 9, "max_digits": 6},
    },
    "gcd": {
        "easy": {"min_numbers": 2, "max_numbers": 3, "max_value": 1000},
        "mid": {"min_numbers": 4, "max_numbers": 4, "max_value": 10_000},
        "hard": {"min_numbers": 5, "max_numbers": 6, "max_value": 1_000_000},
    },
    "lcm": {
        "easy": {"min_numbers": 2, "max_numbers": 3, "max_value": 100},
        "mid": {"min_numbers": 4, "max_numbers": 4, "max_value": 100},
        "hard": {"min_numbers": 5, "max_numbers": 6, "max_value": 1000},
    },
    "products": {
        "easy": {"min_terms": 2, "max_terms": 3, "max_digits": 5},
        "mid": {"min_terms": 4, "max_terms": 5, "max_digits": 5},
        "hard": {"min_terms": 6, "max_terms": 8, "max_digits": 6},
    },
    "count_primes": {
        "easy": {"max_n": 1000},
        "mid": {"max_n": 10_000},
        "hard": {"max_n": 100_000},
    },
    "simple_equations": {
        "easy": {"min_terms": 2, "max_terms": 3, "max_value": 100},
        "mid": {"min_terms": 3, "max_terms": 4, "max_value": 1000},
        "hard": {"min_terms": 5, "max_terms": 6, "max_value": 10_000},
    },
    "simple_geometry": {
        "easy": {"min_sides": 3, "max_sides": 5},
        "mid": {"min_sides": 6, "max_sides": 7},
        "hard": {"min_sides": 8, "max_sides": 10},
    },
    "basic_arithmetic": {
        "easy": {"min_terms": 2, "max_terms": 3},
        "mid": {"min_terms": 4, "max_terms": 4},
        "hard": {"min_terms": 5, "max_terms": 6},
    },
    "leg_counting": {
        "easy": {"min_animals": 2, "max_animals": 4, "max_instances": 50},
        "mid": {"min_animals": 5, "max_animals": 6, "max_instances": 50},
        "hard": {"min_animals": 7, "max_animals": 9, "max_instances": 50},
    },
    "fraction_simplification": {
        "easy": {"styles": ("plain",), "max_value": 100, "max_factor": 20},
        "mid": {"styles": ("plain",), "max_value": 1000, "max_factor": 100},
        "hard": {"styles": ("plain",), "max_value": 100_000, "max_factor": 1000},
    },
    "gsm_symbolic": {group: {"templates": templates} for group, templates in _GSM_GROUPS.items()},
}
"""Each family's levels and what reasoning-gym is asked for there. gsm_symbolic's "levels" are groups of templates."""

FAMILIES: tuple[str, ...] = tuple(LEVELS)

_INSTRUCTION = re.compile(
    r"\s*(?:Give only the [A-Za-z ]+ as your final answer\."
    r"|Return only the angle as your answer\."
    r"|Do not give the units in your answer\.)\s*"
)
_LEG_PREFIX = "Your task is to count how many legs there are in total when given a list of animals.\n\nNow, how"


def cells() -> tuple[tuple[str, str], ...]:
    """Every (family, level) there is, in a fixed order."""
    return tuple((family, level) for family, levels in LEVELS.items() for level in levels)


def split_of(question: str) -> Split:
    """The one split that a question may appear in: 8 of 10 train, the others validation and test."""
    bucket = hashlib.sha256(question.encode()).digest()[0] % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"


def make_problems(family: str, level: str, split: Split, count: int, seed: int = 0) -> list[Problem]:
    """The first `count` distinct problems of `iter_problems`.

    Raises:
        ValueError: the family has no such level, or not so many distinct questions.
    """
    problems: list[Problem] = []
    for problem in iter_problems(family, level, split, seed):
        if len(problems) == count:
            return problems
        problems.append(problem)
    if len(problems) < count:
        raise ValueError(f"{family} {level} gave only {len(problems)} distinct {split} questions of {count}")
    return problems


def iter_problems(family: str, level: str, split: Split, seed: int = 0) -> Iterator[Problem]:
    """Distinct problems of one family, level and split, in an order that depends on `seed` alone."""
    if family not in LEVELS or level not in LEVELS[family]:
        raise ValueError(f"no cell {family!r} {level!r}; the cells are {', '.join('/'.join(c) for c in cells())}")
    if split not in get_args(Split):
        raise ValueError(f"no split {split!r}; the splits are {', '.join(get_args(Split))}")
    first_seed = (seed * len(cells()) + cells().index((family, level))) * SEED_STRIDE
    seen: set[str] = set()
    for item in _items(family, LEVELS[family][level], first_seed):
        question = _tidy(str(item["question"]))
        if question in seen or split_of(question) != split:
            continue
        seen.add(question)
        metadata = {"family": family, "level": level, "split": split}
        if "template" in item:
            metadata["template"] = item["template"]
        digest = hashlib.sha256(question.encode()).hexdigest()[:12]
        yield Problem(question, str(item["answer"]), f"{family}-{level}-{digest}", "math", metadata)


def _items(family: str, config: Mapping[str, Any], first_seed: int) -> Iterator[Mapping[str, Any]]:
    """reasoning-gym's own items, `SEED_STRIDE` of them."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise ImportError("reasoning-gym problems need an extra package: pip install 'treestar[gym]'") from error
    if family != "gsm_symbolic":
        yield from _seeded(reasoning_gym.create_dataset(family, seed=first_seed, size=SEED_STRIDE, **config))
        return
    generators = reasoning_gym.create_dataset(family, seed=first_seed, size=1).generators
    templates = config["templates"]
    for index in range(SEED_STRIDE):
        template = templates[index % len(templates)]
        yield {**generators[template](Random(first_seed + index), 1.0), "template": template}


def _seeded(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """A data set's items one by one; the few seeds for which reasoning-gym fails to build an item are passed over."""
    for index in range(SEED_STRIDE):
        try:
            yield dataset[index]
        except (ValueError, ArithmeticError):
            continue


def _tidy(question: str) -> str:
    """A question without the sentences that only tell how to write the answer down."""
    question = question.replace(_LEG_PREFIX, "How")
    return _INSTRUCTION.sub("", question).strip()
