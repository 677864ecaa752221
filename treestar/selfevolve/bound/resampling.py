"""Other instances of a problem's template: the same structure with other numbers, and their gold answers.

Two problems have the same structure if a program that is right for one must be right for the other. This is decided
only from the text. In most families it is the text with names in place of the numbers. In gsm_symbolic, where people
and things change too, it is the template, the order of its numbers and the words for quantities ("week" instead of
"month" needs another program). Instances are drawn from the generator, in the problem's own split. Long expressions and
lists of animals never repeat by chance; there the numbers are exchanged in the text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from itertools import islice
from random import Random
from typing import get_args

from treestar.benchmarks.gym import Split, iter_problems, split_of
from treestar.benchmarks.gym_levels import LEVELS
from treestar.policy.formats.binding import Binding, bind_numbers, show_values
from treestar.selfevolve.bound.arithmetic import formula
from treestar.types import Problem

__all__ = ["resample"]

POOL_SEED = 90_000
"""Seed of the drawn instances, far from those of training and test sets."""

POOL_OF_A_FAMILY, POOL_OF_A_TEMPLATE = 400, 60
"""Number of instances to draw per cell, or per template of a cell: several of every structure."""

TRIES = 5000
"""Maximum number of draws until every division of an expression is exact."""

QUANTITY = re.compile(
    r"n\d+|%|percent"
    r"|(?:half|twice|double|triple|thrice|third|fourth|fifth|quarter|dozen|pair|couple|hundred|thousand)\w*"
    r"|once|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty"
    r"|(?:second|minute|hour|day|week|month|year|decade|centur)\w*|daily|annual\w*"
    r"|(?:inch|foot|feet|yard|mile|(?:kilo|centi|milli)?met(?:er|re)|(?:kilo|milli)?gram|ounce|pound|ton)\w*"
    r"|(?:gallon|quart|pint|cup|(?:milli)?liter|cent|penn|nickel|dime)\w*",
    re.IGNORECASE,
)
WORD = re.compile(r"[A-Za-z]\w*|%")
EXPRESSION = re.compile(r"(?:problem:|multiplication:|Calculate) ([n\d ()+*/-]+?) ?[=.]")
ANIMAL_LIST = re.compile(r"(n\d+) ([a-z ]+)")

Structure = tuple[object, ...]
Solve = Callable[[Mapping[str, int]], "int | None"]
"""The answer for numbers by name, or None if these numbers do not give a valid instance."""


def resample(problem: Problem, seed: int) -> Problem | None:
    """An instance of the same structure as `problem` with other numbers, or None if its source has none.

    Successive seeds give different instances as long as there are any.

    Args:
        problem: from `treestar.benchmarks.gym`; None for any other.
    """
    family, level = str(problem.metadata.get("family")), str(problem.metadata.get("level"))
    split = problem.metadata.get("split")
    if level not in LEVELS.get(family, {}) or split not in get_args(Split):
        return None
    binding = bind_numbers(problem.question)
    if family in ("chain_sum", "products", "basic_arithmetic"):
        return exchange_numbers(problem, binding, expression_solver(binding.question), seed)
    if family == "leg_counting":
        return exchange_numbers(problem, binding, leg_solver(binding.question), seed)
    same = pool(family, level, split).get(structure(problem), ())
    other = [each for each in same if bind_numbers(each.question).values != binding.values]
    return other[seed % len(other)] if other else None


@cache
def pool(family: str, level: str, split: Split) -> Mapping[Structure, list[Problem]]:
    """Instances of one cell by structure."""
    templates = LEVELS[family][level].get("templates", ())
    size = POOL_OF_A_TEMPLATE * len(templates) if templates else POOL_OF_A_FAMILY
    by_structure: defaultdict[Structure, list[Problem]] = defaultdict(list)
    for problem in islice(iter_problems(family, level, split, POOL_SEED), size):
        by_structure[structure(problem)].append(problem)
    return dict(by_structure)


def structure(problem: Problem) -> Structure:
    """The structure of an instance; the same programs solve all instances with the same structure."""
    bound = bind_numbers(problem.question).question
    family = problem.metadata["family"]
    if family == "gsm_symbolic":
        words = [word for word in WORD.findall(bound.lower()) if QUANTITY.fullmatch(word)]
        return (problem.metadata["template"], *words)
    if family == "simple_equations":  # without the name of the unknown and the wording around the equation
        return (re.sub(r"\b[a-z]\b", "x", bound.rpartition(": ")[2]),)
    return (bound,)


def exchange_numbers(problem: Problem, binding: Binding, solve: Solve | None, seed: int) -> Problem | None:
    """`problem` with other numbers in its text; None if its own numbers do not give its gold answer."""
    values = {name: int(literal) for name, literal in binding.values}
    if solve is None or str(solve(values)) != problem.answer:
        return None
    random = Random(f"{seed}/{problem.question}")
    for _ in range(TRIES):
        drawn = {name: random.randint(1, 10 ** len(str(value)) - 1) for name, value in values.items()}
        answer = solve(drawn)
        question = show_values(binding.question, Binding("", tuple((name, str(n)) for name, n in drawn.items())))
        if answer is not None and drawn != values and split_of(question) == problem.metadata["split"]:
            return Problem(question, str(answer), "", problem.kind, problem.metadata)
    return None


def expression_solver(question: str) -> Solve | None:
    """Evaluates the expression in a question with names; every division must be exact."""
    found = EXPRESSION.search(question)
    if found is None:
        return None
    exact, whole = formula(found[1], Fraction), formula(found[1].replace("/", "//"), Fraction)
    if exact is None or whole is None:
        return None

    def solve(values: Mapping[str, int]) -> int | None:
        fractions = {name: Fraction(number) for name, number in values.items()}
        try:
            value = whole(fractions)
            return int(value) if value == exact(fractions) else None
        except ArithmeticError:
            return None

    return solve


def leg_solver(question: str) -> Solve | None:
    """Counts the legs of '... if you have n3 woodlouses, n4 leechs?'."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    found = ANIMAL_LIST.findall(question.partition("have ")[2])
    legs = {name: ANIMALS.get(animal, ANIMALS.get(animal.removesuffix("s"))) for name, animal in found}
    if None in legs.values():
        return None
    return lambda values: sum(values[name] * each for name, each in legs.items())
