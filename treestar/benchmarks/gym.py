"""Problems of the package reasoning-gym, by family and level, in splits that never share a question.

A question belongs to the split that a hash of its text selects, so the splits are disjoint for all seeds and sizes, and
also from sets made later. reasoning-gym draws item i with seed + i; the first seeds of sets are `SEED_STRIDE` apart,
more than the size of any set. Instructions about answer formatting at the end of some questions are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Literal, get_args

from treestar.benchmarks.gym_levels import LEVELS, cells
from treestar.extras import needs_extra
from treestar.types import Problem

__all__ = ["Split", "iter_problems", "make_problems", "reworded", "split_of"]

Split = Literal["train", "validation", "test"]

SEED_STRIDE = 1_000_000
"""Distance between the first seeds of two sets."""

INSTRUCTION = re.compile(
    r"\s*(?:Give only the [A-Za-z ]+ as your final answer\."
    r"|Return only the angle as your answer\."
    r"|Do not give the units in your answer\.)\s*"
)
WORDINGS = ("Calculate {}.", "What is {}?", "Compute {}.", "Evaluate: {}.", "Solve {}.")
"""Ways to ask for the value of an expression. The levels here use only the first; users also try the others."""

LEG_PREFIX = "Your task is to count how many legs there are in total when given a list of animals.\n\nNow, how"


def split_of(question: str) -> Split:
    """The only split that can contain a question: 8 of 10 are train, the others validation and test."""
    bucket = hashlib.sha256(question.encode()).digest()[0] % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"


def make_problems(family: str, level: str, split: Split, count: int, seed: int = 0) -> list[Problem]:
    """The first `count` distinct problems of `iter_problems`.

    Raises:
        ValueError: the family does not have this level, or has too few distinct questions.
        TreestarError: reasoning-gym is not installed.
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
    """Distinct problems of one family, level and split, in an order that depends only on `seed`."""
    if family not in LEVELS or level not in LEVELS[family]:
        raise ValueError(f"unknown cell {family!r} {level!r}; the cells are {', '.join('/'.join(c) for c in cells())}")
    if split not in get_args(Split):
        raise ValueError(f"no split {split!r}; the splits are {', '.join(get_args(Split))}")
    first_seed = (seed * len(cells()) + cells().index((family, level))) * SEED_STRIDE
    seen: set[str] = set()
    for item in items(family, LEVELS[family][level], first_seed):
        question = tidy(str(item["question"]))
        if question in seen or split_of(question) != split:
            continue
        seen.add(question)
        metadata = {"family": family, "level": level, "split": split}
        if "template" in item:
            metadata["template"] = item["template"]
        digest = hashlib.sha256(question.encode()).hexdigest()[:12]
        yield Problem(question, str(item["answer"]), f"{family}-{level}-{digest}", "math", metadata)


def items(family: str, config: Mapping[str, Any], first_seed: int) -> Iterator[Mapping[str, Any]]:
    """reasoning-gym's own items, `SEED_STRIDE` of them."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise needs_extra("a problem of reasoning-gym", "gym") from error
    if family != "gsm_symbolic":
        yield from seeded(reasoning_gym.create_dataset(family, seed=first_seed, size=SEED_STRIDE, **config))
        return
    generators = reasoning_gym.create_dataset(family, seed=first_seed, size=1).generators
    templates = config["templates"]
    for index in range(SEED_STRIDE):
        template = templates[index % len(templates)]
        yield {**generators[template](Random(first_seed + index), 1.0), "template": template}


def seeded(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """A data set's items one by one, without the few seeds for which reasoning-gym fails to build an item."""
    for index in range(SEED_STRIDE):
        try:
            yield dataset[index]
        except (ValueError, ArithmeticError):
            continue


def tidy(question: str) -> str:
    """A question without instructions for formatting the answer."""
    question = question.replace(LEG_PREFIX, "How")
    return INSTRUCTION.sub("", question).strip()


def reworded(question: str, random: Random) -> str:
    """`question` in another of WORDINGS, if it has the first."""
    begin, end = WORDINGS[0].split("{}")
    if not question.startswith(begin):
        return question
    return random.choice(WORDINGS[1:]).format(question.removeprefix(begin).removesuffix(end))
