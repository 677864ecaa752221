"""Finds right programs without a policy: searches only the grammar, and computes its arithmetic here.

Several thousand beginnings of programs are drawn, and after each one every last computation is tried. This reaches a
hundred times as many programs as drawing the last computation, too. A program is right if it gives the gold answers of
the problem and of several other instances; with a single instance most finds would be coincidence. Search then proposes
the programs' steps (`exploration.ExploringPolicy`), so that they are run, valued and vetted like any others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import isclose, nan, prod
from random import Random
from typing import NamedTuple

from treestar.policy.formats.bound import binding_of
from treestar.selfevolve.bound.arithmetic import Formula, formula
from treestar.selfevolve.bound.false_positives import Resample
from treestar.selfevolve.bound.grammar import Draft, Scope, drafts, scope_of
from treestar.types import Problem, State
from treestar.verifier.notation.plain_numbers import read_plain_number

__all__ = ["Program", "right_programs"]

Program = tuple[Draft, ...]
"""Its steps; the last one prints the answer."""

ENOUGH, PROPOSED = 16, 4
"""Number of right programs after which the search ends, and number that it returns: the others are mostly the same
arithmetic in a less natural order."""

LONGEST = 6
"""Maximum number of computations in a program."""

NAME = re.compile(r"[a-z]\w*")

Values = dict[str, float]


class Instance(NamedTuple):
    """An instance of a problem."""

    numbers: Values
    """The question's numbers by their names."""
    answer: float


def right_programs(problem: Problem, resample: Resample, tries: int, instances: int, seed: int) -> list[Program]:
    """At most PROPOSED programs that are right on `problem` and on `instances` others, the most plausible first.

    Empty if the problem has no gold number, or its source no other instance.

    Args:
        tries: number of computations to try as the last one.
        seed: seed of the draws and of the instances.
    """
    if not tries:
        return []
    known = [problem, *(resample(problem, seed + index) for index in range(max(1, instances)))]
    read = [each and instance_of(each) for each in known]
    if None in read:
        return []
    return search(scope_of(State(problem)), [each for each in read if each], tries, Random(seed))


def instance_of(problem: Problem) -> Instance | None:
    """`problem` in numbers; None if its answer is not a number, or too large for a float."""
    numbers = {name: float(literal) for name, literal in binding_of(problem.question).values}
    answer = read_plain_number(problem.answer or "")
    try:
        return answer and Instance(numbers, float(answer.value))
    except OverflowError:
        return None


def search(root: Scope, instances: Sequence[Instance], tries: int, random: Random) -> list[Program]:
    """Walk from the root, drawing each step by its probability; at every beginning reached for the first time, try all
    last computations."""
    found: list[Program] = []
    visited: set[Program] = set()
    while tries > 0 and len(found) < ENOUGH:
        tries -= 1  # so that it ends once everything has been visited
        beginning: Program = ()
        scope, values = root, dict(instances[0].numbers)
        while len(beginning) < LONGEST:
            candidates = drafts(scope)
            if beginning not in visited:
                visited.add(beginning)
                tries -= len(candidates)
                found += [
                    (*beginning, last, printing(scope, last))
                    for last in candidates
                    if is_close(value(last, values), instances[0].answer)
                    and is_conclusion(last, scope)
                    and all(is_right((*beginning, last), each) for each in instances[1:])
                ]
            if not candidates:
                break
            [step] = random.choices(candidates, [each.probability for each in candidates])
            if step.is_last:
                break
            values[variable(step)] = value(step, values)
            scope, beginning = after(scope, step), (*beginning, step)
    return sorted(found, key=lambda program: -prod(step.probability for step in program))[:PROPOSED]


def is_conclusion(last: Draft, scope: Scope) -> bool:
    """Whether a program can end with `last`: every earlier result must have been read."""
    return set(scope.results) <= after(scope, last).read


def is_right(computations: Program, instance: Instance) -> bool:
    values = dict(instance.numbers)
    for step in computations:
        values[variable(step)] = value(step, values)
    return is_close(values[variable(computations[-1])], instance.answer)


def is_close(found: float, answer: float) -> bool:
    return isclose(found, answer, rel_tol=1e-9, abs_tol=1e-9)


def value(step: Draft, values: Mapping[str, float]) -> float:
    if step.is_last:
        return nan
    try:
        return computation(expression(step))(values)
    except ArithmeticError:
        return nan


@lru_cache(maxsize=65536)
def computation(text: str) -> Formula[float]:
    found = formula(text, float)
    assert found is not None, f"the grammar wrote {text!r}"
    return found


def variable(step: Draft) -> str:
    return step.code.partition(" = ")[0]


def expression(step: Draft) -> str:
    return step.code.partition(" = ")[2]


def after(scope: Scope, step: Draft) -> Scope:
    """The scope after one more computation."""
    return replace(
        scope,
        results=(*scope.results, variable(step)),
        read=scope.read | set(NAME.findall(expression(step))),
        taken=scope.taken | {variable(step)},
    )


def printing(scope: Scope, last: Draft) -> Draft:
    """The step that prints the result of `last`."""
    return next(each for each in drafts(after(scope, last)) if each.is_last)
