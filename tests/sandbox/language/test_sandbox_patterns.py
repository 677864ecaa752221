"""`match` in steps: patterns that read attributes are matched by the guard, and must match as Python's do."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sandbox_support import plain_output

from treestar.sandbox.language.compiler import OWN_MODULE, compile_step
from treestar.sandbox.language.guards import Output, step_builtins

PRELUDE = """
from dataclasses import dataclass
from enum import Enum
class Color(Enum):
    RED = 1
    BLUE = 2
@dataclass
class P:
    x: object
    y: object = 0
class Q(P):
    pass
class Swapped:
    __match_args__ = ("y", "x")
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __repr__(self):
        return f"Swapped({self.x!r}, {self.y!r})"
"""
VALUES = st.recursive(
    st.sampled_from(["1", "2", "'a'", "None", "True", "-1", "2.5", "Color.RED", "Color.BLUE"]),
    lambda inner: st.one_of(
        st.builds("P({}, {})".format, inner, inner),
        st.builds("Q({})".format, inner),
        st.builds("Swapped({}, {})".format, inner, inner),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.builds("{{'a': {}, 'b': {}}}".format, inner, inner),
        st.builds("({},)".format, inner),
    ),
    max_leaves=4,
)
CAPTURE = "@"
"""A placeholder for a name that occurs once."""
CLASSES = st.sampled_from(["P", "Q", "Swapped", "int", "str", "list", "Color"])
PATTERNS = st.recursive(
    st.sampled_from(["1", "'a'", "None", "True", "2.5", "_", CAPTURE, "Color.RED", "int()", f"int({CAPTURE})"]),
    lambda inner: st.one_of(
        st.builds("{}({})".format, CLASSES, inner),
        st.builds("{}({}, {})".format, CLASSES, inner, inner),
        st.builds("{}({}, y={})".format, CLASSES, inner, inner),
        st.builds("{}(x={})".format, CLASSES, inner),
        st.builds("int(real={}, imag={})".format, inner, inner),
        st.builds("[{}, *{}, {}]".format, inner, st.sampled_from(["_", CAPTURE]), inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'a': {}, **{}}}".format, inner, st.just(CAPTURE)),
        st.builds("({} as {})".format, inner, st.just(CAPTURE)),
        st.builds("({} | {})".format, inner, inner),
    ),
    max_leaves=4,
)
GUARDS = st.sampled_from(["", " if s", " if s is not None"])


def case(number: int, pattern: str, guard: str) -> str:
    pieces = pattern.split(CAPTURE)
    names = [f"v{index}" for index in range(len(pieces) - 1)]
    named = "".join(itertools.chain.from_iterable(itertools.zip_longest(pieces, names, fillvalue="")))
    return f"        case {named}{guard}:\n            return {number}, [{', '.join(names)}]\n"


def output_of_a_step(source: str) -> tuple[str, str | None]:
    output = Output(100_000)
    namespace: dict[str, object] = {"__name__": OWN_MODULE}
    namespace["__builtins__"] = step_builtins(output, lambda: namespace)
    try:
        exec(compile_step(source, "<step 0>"), namespace)
    except Exception as error:
        return output.text(), type(error).__name__
    return output.text(), None


@example(cases=[("(Color.RED | _)", ""), ("1", "")], values=["1"])
@example(cases=[("int(int(1, 1), y=1)", "")], values=["1"])
@settings(max_examples=400)
@given(
    cases=st.lists(st.tuples(PATTERNS, GUARDS), min_size=1, max_size=4), values=st.lists(VALUES, min_size=1, max_size=6)
)
def test_patterns_match_as_in_plain_python(cases: list[tuple[str, str]], values: list[str]) -> None:
    body = "".join(case(number, *each) for number, each in enumerate(cases))
    program = f"{PRELUDE}def f(s):\n    match s:\n{body}\nfor value in [{', '.join(values)}]:\n    print(f(value))\n"
    assert output_of_a_step(program) == plain_output(program)
