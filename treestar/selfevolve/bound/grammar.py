"""Steps drawn without a policy: a small weighted grammar of arithmetic over the names in scope.

A step computes one new number from the question's numbers and from earlier results, or prints the latest result. The
weights describe what is plausible without the meaning of a question: a value is read once, in the order of the text,
and every result is needed. They come from the programs of the gsm_symbolic group `taught`, in which 80% of the
questions' numbers are read once and 9% never, 89% of the results are read once and all at least once. Of a question's
words the grammar uses only percent signs, fractions, and words that mean a constant, such as "week" for 7.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, count, permutations
from random import Random
from typing import NamedTuple

from treestar.policy.formats.bound import binding_of
from treestar.types import State

__all__ = ["Draft", "Scope", "drafts", "in_drawing_order", "scope_of"]

READ_AGAIN = 0.1
"""Weight of a value that a step has already read, relative to an unread one."""

PASSED_OVER = 0.65
"""Factor for each unread number that the step skips before one that it reads."""

UNASKED = 0.04
"""Weight of a constant without a word in the question."""

PERCENTAGE_AS_NUMBER = 0.15
"""Weight of a percentage used as a plain number."""

STOP_WITH_ALL_READ, STOP_EARLY, STOP_WITH_RESULTS_LEFT = 0.75, 0.1, 0.02
"""Probability that the next step prints the latest result: if every number has been read, if some are left, and if an
earlier result is unread."""

LETTERS = "abcdefghijklmpqrstuvwxyz"
"""New variables, in this order."""

CONSTANTS = {
    2: r"twice|double\w*|half|halves|pairs?|couple|two|both|average",
    3: r"thirds?|triple\w*|thrice|three|yards?",
    4: r"quarter\w*|fourths?|four",
    7: r"weeks?|weekly|seven|daily",
    12: r"dozens?|months?|monthly|years?|yearly|annual\w*|foot|feet|twelve",
    24: r"hours?|hourly|days?|daily",
    30: r"months?|monthly|thirty",
    52: r"weeks?|weekly|years?|yearly",
    60: r"seconds?|minutes?|hours?|hourly",
    100: r"%|percent\w*|cents?|hundreds?|meters?",
    1000: r"thousands?|kilo\w*|milli\w*",
}
"""The constants, and the words that suggest them."""

ASKS = {
    constant: re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE)
    for constant, words in CONSTANTS.items()
}
PERCENTAGE = re.compile(r"(n\d+) ?(?:%|percent)", re.ASCII)
FRACTION = re.compile(r"(n\d+)/(n\d+)", re.ASCII)
NUMERIC_FUNCTIONS = {"abs", "float", "gcd", "int", "lcm", "len", "max", "min", "round", "sum"}


@dataclass(frozen=True, slots=True)
class Scope:
    """The names and constants that the next step of a state can compute with."""

    numbers: tuple[str, ...]
    """The names of the question's numbers, in order of appearance."""
    results: tuple[str, ...] = ()
    """The variables that earlier steps set to a number, the latest last."""
    read: frozenset[str] = frozenset()
    """The names that a step has read since they were assigned."""
    taken: frozenset[str] = frozenset()
    """Every name that appears in the steps."""
    percentages: tuple[str, ...] = ()
    """The numbers followed by a percent sign."""
    fractions: tuple[tuple[str, str], ...] = ()
    """The numbers that the question writes as numerator and denominator."""
    constants: frozenset[int] = frozenset()
    """The constants for which the question has a word."""

    @property
    def values(self) -> tuple[str, ...]:
        """Every name that a step can read: the latest result first, the numbers last."""
        return (*reversed(self.results), *self.numbers)

    def is_fresh(self, name: str) -> bool:
        return name not in self.read

    def new_variable(self) -> str:
        return next(name for name in chain(LETTERS, (f"v{index}" for index in count())) if name not in self.taken)


class Draft(NamedTuple):
    """A step that the grammar offers for a scope."""

    comment: str
    code: str
    probability: float
    """Probability of being drawn; those of a scope's drafts sum to 1."""
    is_last: bool = False
    """It prints the answer."""


class Computation(NamedTuple):
    """A way to compute a number."""

    words: str
    expression: str
    weight: float
    """Weight relative to the other computations of its form, > 0."""


@lru_cache(maxsize=4096)
def drafts(scope: Scope) -> tuple[Draft, ...]:
    """Every step that the grammar offers for `scope`, each once; none without numbers."""
    weigh = Plausibility(scope)
    forms = [(share, list(form(scope, weigh))) for share, form in FORMS]
    forms = [(share, computations) for share, computations in forms if computations]
    shares = sum(share for share, _ in forms)
    stop = stop_probability(scope)
    variable = scope.new_variable()
    found = []
    for share, computations in forms:
        weights = sum(each.weight for each in computations)
        for each in computations:
            probability = (1 - stop) * share / shares * each.weight / weights
            found.append(Draft(each.words, f"{variable} = {each.expression}", probability))
    if scope.results:
        found.append(Draft("print the final answer", f"print({scope.results[-1]})", stop, is_last=True))
    return tuple(found)


def in_drawing_order(candidates: Iterable[Draft], random: Random) -> list[Draft]:
    """The drafts in the order of drawing by probability without replacement.

    As a race: each arrives after an exponential time with its probability as rate (Efraimidis and Spirakis 2006).
    """
    return sorted(candidates, key=lambda draft: random.expovariate(draft.probability))


def stop_probability(scope: Scope) -> float:
    """The probability that the next step prints the latest result."""
    if not scope.results:
        return 0.0
    if any(map(scope.is_fresh, scope.results[:-1])):
        return STOP_WITH_RESULTS_LEFT
    return STOP_EARLY if any(map(scope.is_fresh, scope.numbers)) else STOP_WITH_ALL_READ


class Plausibility:
    """Weights the computations of one scope by the values that they read."""

    def __init__(self, scope: Scope) -> None:
        self.of_value = {name: READ_AGAIN if name in scope.read else 1.0 for name in scope.values}
        self.place = {name: place for place, name in enumerate(scope.numbers)}
        self.as_number = {name: PERCENTAGE_AS_NUMBER if name in scope.percentages else 1.0 for name in scope.values}
        self.fresh = [name not in scope.read for name in scope.numbers]
        self.fresh_before = [sum(self.fresh[:place]) for place in range(len(self.fresh))]

    def __call__(self, *names: str) -> float:
        weight = 1.0
        for name in names:
            weight *= self.of_value[name]
        places = [self.place[name] for name in names if name in self.place]
        if not places:
            return weight
        furthest = max(places)
        left_out = self.fresh_before[furthest] - sum([self.fresh[place] for place in places if place != furthest])
        return weight * PASSED_OVER**left_out

    def plainly(self, *names: str) -> float:
        """The weight of a computation that should not use percentages."""
        weight = self(*names)
        for name in names:
            weight *= self.as_number[name]
        return weight


Form = Callable[[Scope, Plausibility], Iterable[Computation]]
"""The computations of a kind that a scope has."""


def of_two(
    choose: Callable[[Iterable[str], int], Iterable[tuple[str, ...]]], written: Callable[[str, str], tuple[str, str]]
) -> Form:
    """Computations with two values, in the words and as the expression that `written` gives."""

    def form(scope: Scope, weigh: Plausibility) -> Iterable[Computation]:
        for x, y in choose(scope.values, 2):
            yield Computation(*written(x, y), weigh.plainly(x, y))

    return form


def longer_sums(scope: Scope, weigh: Plausibility) -> Iterable[Computation]:
    """Of three values, at most one of them read before, and of all that are fresh."""
    fresh = [name for name in scope.values if scope.is_fresh(name)]
    again = [name for name in scope.values if not scope.is_fresh(name)]
    plain = tuple(name for name in fresh if name not in scope.percentages)
    two_fresh = ((*pair, name) for pair in combinations(fresh, 2) for name in again)
    for names in chain(combinations(fresh, 3), two_fresh, [plain] if len(plain) > 3 else []):
        yield Computation(f"add up {', '.join(names)}", " + ".join(names), weigh.plainly(*names))


def with_constants(scope: Scope, weigh: Plausibility) -> Iterable[Computation]:
    for constant in CONSTANTS:
        asked = 1.0 if constant in scope.constants else UNASKED
        for x in scope.values:
            weight = asked * weigh.plainly(x)
            yield Computation(f"multiply {x} by {constant}", f"{x} * {constant}", weight)
            yield Computation(f"divide {x} by {constant}", f"{x} / {constant}", weight)
            yield Computation(f"divide {constant} by {x}", f"{constant} / {x}", weight / 4)


def percentages(scope: Scope, weigh: Plausibility) -> Iterable[Computation]:
    for rate in scope.percentages:
        for x in scope.values:
            if x not in scope.percentages:
                weight = weigh(x, rate)
                yield Computation(f"{rate} percent of {x}", f"{x} * {rate} / 100", weight)
                yield Computation(f"{x} less {rate} percent", f"{x} * (100 - {rate}) / 100", weight / 2)
                yield Computation(f"{x} and {rate} percent more", f"{x} * (100 + {rate}) / 100", weight / 2)


def percentages_asked_for(scope: Scope, weigh: Plausibility) -> Iterable[Computation]:
    if 100 in scope.constants:
        for x, y in permutations(scope.values, 2):
            yield Computation(f"{x} as a percentage of {y}", f"{x} * 100 / {y}", weigh.plainly(x, y))


def fractions(scope: Scope, weigh: Plausibility) -> Iterable[Computation]:
    for top, bottom in scope.fractions:
        for x in scope.values:
            if x not in (top, bottom):
                weight = weigh(x, top, bottom)
                yield Computation(f"{top}/{bottom} of {x}", f"{x} * {top} / {bottom}", weight)


FORMS: tuple[tuple[float, Form], ...] = (
    (0.36, of_two(combinations, lambda x, y: (f"multiply {x} by {y}", f"{x} * {y}"))),
    (0.27, of_two(combinations, lambda x, y: (f"add {x} and {y}", f"{x} + {y}"))),
    (0.18, of_two(permutations, lambda x, y: (f"subtract {y} from {x}", f"{x} - {y}"))),
    (0.09, of_two(permutations, lambda x, y: (f"divide {x} by {y}", f"{x} / {y}"))),
    (0.10, longer_sums),
    (0.16, with_constants),
    (0.50, percentages),
    (0.03, percentages_asked_for),
    (0.50, fractions),
)
"""The forms of a computation, and how often each is drawn relative to the others that a scope has."""


def scope_of(state: State) -> Scope:
    """The scope of the next step of `state`. Never raises; everything in a step except assignments of arithmetic to
    names is ignored."""
    binding = binding_of(state.problem.question)
    numbers = [name for name, _ in binding.values]
    results: list[str] = []
    read: set[str] = set()
    taken: set[str] = set(numbers)
    for statement in chain.from_iterable(map(statements, (step.code for step in state.steps))):
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        known = {*numbers, *results}
        numbers = [name for name in numbers if name not in stored]
        results = [name for name in results if name not in stored]
        if isinstance(statement, ast.Assign) and len(stored) == 1 and is_arithmetic(statement.value, known):
            results += stored
        read = (read | loaded) - stored
        taken |= stored | loaded
    return Scope(
        tuple(numbers),
        tuple(results),
        frozenset(read),
        frozenset(taken),
        tuple(name for name in PERCENTAGE.findall(binding.question) if name in numbers),
        tuple(pair for pair in FRACTION.findall(binding.question) if {*pair} <= {*numbers}),
        frozenset(constant for constant, asks in ASKS.items() if asks.search(binding.question)),
    )


def statements(code: str) -> list[ast.stmt]:
    """The statements of a step; none if it is not Python."""
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def is_arithmetic(expression: ast.expr, known: set[str]) -> bool:
    """Whether an expression is a number if the names in `known` are."""
    if isinstance(expression, ast.Constant):
        return isinstance(expression.value, int | float)
    if isinstance(expression, ast.Name):
        return expression.id in known
    if isinstance(expression, ast.BinOp):
        return is_arithmetic(expression.left, known) and is_arithmetic(expression.right, known)
    if isinstance(expression, ast.UnaryOp):
        return is_arithmetic(expression.operand, known)
    return (
        isinstance(expression, ast.Call)
        and isinstance(expression.func, ast.Name)
        and expression.func.id in NUMERIC_FUNCTIONS
    )
