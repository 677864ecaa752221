"""The tests of a problem that asks for a program, as its data set states them.

`tests` in a problem's metadata is one of

- Python text that defines `check(candidate)`, beside `entry_point`, the name of the function (HumanEval);
- a list of assert statements about the function (MBPP);
- a list of objects with `input` and `output`: what a whole program reads from standard input and should print.

`public_tests`, a list of either kind, may guide a search; the tests never do. A function's public tests are otherwise
the `>>>` examples in the question. `time_limit` (seconds) and `memory_limit` (MiB) apply to each run of a whole
program.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from treestar.types import Problem, TreestarError

__all__ = [
    "MIB",
    "FunctionTests",
    "ProgramTests",
    "StreamTest",
    "StreamTests",
    "are_tests",
    "called_function",
    "entry_point_of",
    "public_tests_of",
    "same_output",
    "tests_of",
]

CALL = re.compile(r"(?<![.\w])([A-Za-z_]\w*)\s*\(")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class FunctionTests:
    """Python to run after a program, which raises if the program's function does something wrong."""

    source: str


@dataclass(frozen=True, slots=True)
class StreamTest:
    """What a program reads, and what it should print."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class StreamTests:
    """The runs that a whole program must pass, each within the limits."""

    tests: tuple[StreamTest, ...]
    seconds: float | None
    """Wall-clock time; None: the sandbox's own."""
    memory: int | None
    """Bytes beyond the loaded libraries; None: the sandbox's own."""


ProgramTests = FunctionTests | StreamTests


def tests_of(problem: Problem) -> ProgramTests:
    """The tests that decide whether a program is right.

    Raises:
        TreestarError: the problem has none, or they are not of a known form.
    """
    tests, entry_point = problem.metadata.get("tests"), problem.metadata.get("entry_point")
    if isinstance(tests, str) and isinstance(entry_point, str):
        return FunctionTests(f"{tests}\n\ncheck({entry_point})")
    return listed(problem, "tests", tests)


def public_tests_of(problem: Problem) -> ProgramTests | None:
    """The tests that the problem's text shows, or that its `public_tests` are; None without any.

    Raises:
        TreestarError: `public_tests` is not of a known form.
    """
    given = problem.metadata.get("public_tests")
    if given:
        return listed(problem, "public_tests", given)
    if entry_point_of(problem) is None:
        return None
    asserts = examples(problem.question)
    return FunctionTests("\n".join(asserts)) if asserts else None


def entry_point_of(problem: Problem) -> str | None:
    """The name of the function that the problem asks for; None if it asks for a whole program."""
    named = problem.metadata.get("entry_point")
    if isinstance(named, str):
        return named
    tests: Any = problem.metadata.get("tests")
    return called_function(tests) if is_list_of(str, tests) else None


def called_function(asserts: Sequence[str]) -> str | None:
    """The function that assert statements are about: the first that they call and that is not Python's own."""
    for each in asserts:
        for name in CALL.findall(each):
            if name != "assert" and not hasattr(builtins, name):
                return str(name)
    return None


def are_tests(tests: Any) -> bool:
    """Whether a value of the field `tests`, without an entry point, is one of a problem that asks for a program."""
    return is_list_of(str, tests) or is_list_of(dict, tests)


def same_output(printed: str, wanted: str) -> bool:
    """Whether two outputs are the same but for white space at the ends of lines and of the whole."""
    return lines_of(printed) == lines_of(wanted)


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def listed(problem: Problem, field: str, tests: Any) -> ProgramTests:
    """Tests that are a list. Raises TreestarError."""
    if is_list_of(str, tests):
        return FunctionTests("\n".join(tests))
    if is_list_of(dict, tests) and all(isinstance(each.get(end), str) for each in tests for end in ("input", "output")):
        made = tuple(StreamTest(with_unix_lines(each["input"]), with_unix_lines(each["output"])) for each in tests)
        memory = limit(problem, "memory_limit")
        return StreamTests(made, limit(problem, "time_limit"), None if memory is None else int(memory * MIB))
    raise TreestarError(
        f"problem {problem.id!r} has no {field} that a program can be tested on: they are text with an entry_point, a "
        "list of assert statements, or a list of objects with the texts input and output"
    )


def is_list_of(kind: type, values: Any) -> bool:
    """Whether a value of the metadata is a list of at least one object of a type."""
    return isinstance(values, list) and bool(values) and all(isinstance(each, kind) for each in values)


def with_unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def limit(problem: Problem, field: str) -> float | None:
    value = problem.metadata.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise TreestarError(f"problem {problem.id!r}: {field} is a number greater than 0, not {value!r:.40}")
    return float(value)


def examples(question: str) -> list[str]:
    """The `>>>` examples in a question whose result is a Python literal, as assert statements."""
    try:
        # The quotes that end a docstring would belong to the last result.
        found = doctest.DocTestParser().get_examples(re.sub(r"\"{3}|'{3}", "\n\n", question))
    except ValueError:  # examples that are indented or laid out wrongly
        return []
    return [
        f"assert (\n{each.source.strip()}\n) == ({each.want.strip()})"  # the source may end in a comment
        for each in found
        if can(ast.parse, each.source, mode="eval") and can(ast.literal_eval, each.want)
    ]


def can(parse: Callable[..., Any], text: str, **options: str) -> bool:
    """Whether `parse` accepts `text`."""
    try:
        parse(text.strip(), **options)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True
