"""The step compiler: what it leaves unchanged, and what never gets past it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sandbox_fuzzing import PROGRAMS, breach, check_code, mutants, unguarded_breach

from treestar.sandbox.language.compiler import PLAIN, StepTransformer, words
from treestar.sandbox.language.warm_up import load_libraries

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore:Generating overly large repr")
FUZZING = settings(max_examples=100, suppress_health_check=list(HealthCheck))
"""Few examples, different in every run; `bench/fuzz.py` is for long runs."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Executor]:
    """A process with the libraries as steps see them: hardened there, unchanged here."""
    with ProcessPoolExecutor(1, get_context("spawn"), load_libraries, (True,)) as executor:
        yield executor


# --- plain steps -----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["x", "y", "total", "_", "print"])
VALUES = st.recursive(
    NAMES | st.sampled_from(["0", "2.5", "'ab'", "None", "True", "..."]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(words("+ - * / // % ** << >> | ^ &")), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "is", "is not", "in", "not in"]),
            inner,
        ),
        st.builds("({} {})".format, st.sampled_from(["-", "+", "~", "not"]), inner),
        st.builds("{}({}, *{}, n={})".format, inner, inner, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({}, [{}, *{}])".format, inner, inner, inner),
        st.builds("{{{}: {}, **{}}}".format, inner, inner, inner),
        st.builds("{{{}, {}}}".format, inner, inner),
        st.builds("[{} for {} in {} if {}]".format, inner, NAMES, inner, inner),
        st.builds("{{{} for {} in {}}}".format, inner, NAMES, inner),
        st.builds("{{{}: {} for {} in {}}}".format, inner, inner, NAMES, inner),
        st.builds("all({} for {}, {} in {})".format, inner, NAMES, NAMES, inner),
        st.builds("f'{{{}!r:>{{{}}}}} {{{}=}}'".format, NAMES, NAMES, NAMES),
    ),
    max_leaves=5,
)
LINES = st.one_of(
    VALUES,
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("{}, *{} = {} = {}".format, NAMES, NAMES, NAMES, VALUES),
    st.builds("assert {}, {}".format, VALUES, VALUES),
    st.just("pass"),
)
PLAIN_PROGRAMS = st.recursive(
    LINES,
    lambda inner: st.one_of(
        st.builds("{}\n{}".format, inner, inner),
        st.builds(
            lambda header, body, rest: f"{header}\n    break\n    continue\n{indented(body)}\nelse:\n{indented(rest)}",
            st.builds("for {} in {}:".format, NAMES, VALUES) | st.builds("while {}:".format, VALUES),
            inner,
            inner,
        ),
        st.builds(
            lambda test, body, rest: f"if {test}:\n{indented(body)}\nelse:\n{indented(rest)}", VALUES, inner, inner
        ),
    ),
    max_leaves=4,
)


def indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def test_plain_programs_are_what_the_transformer_makes_of_them() -> None:
    """So they can skip it. Every node type that counts as plain was seen."""
    seen: set[type] = set()

    @settings(max_examples=400, suppress_health_check=list(HealthCheck))
    @given(program=PLAIN_PROGRAMS, value=VALUES)
    def check(program: str, value: str) -> None:
        for tree in (ast.parse(program), ast.parse(value, mode="eval")):
            kinds = {type(node) for node in ast.walk(tree)}
            assert kinds <= PLAIN
            seen.update(kinds)
            before = ast.dump(tree, include_attributes=True)
            assert ast.dump(StepTransformer().visit(tree), include_attributes=True) == before
            check_code(compile(tree, "<plain>", "exec" if isinstance(tree, ast.Module) else "eval"))

    check()
    assert seen == PLAIN


# --- fuzzing ---------------------------------------------------------------------------------------------------------


@FUZZING
@given(program=PROGRAMS)
def test_no_program_gets_past_the_guards(elsewhere: Executor, program: str) -> None:
    assert elsewhere.submit(breach, program).result() is None


@FUZZING
@given(program=mutants())
def test_no_mutated_attack_gets_past_the_guards(elsewhere: Executor, program: str) -> None:
    assert elsewhere.submit(breach, program).result() is None


@pytest.mark.parametrize(
    "program",
    [
        "x = y.real",
        "x.real = y",
        "x[0] = y",
        "del x[0]",
        "x[0] += 1",
        "import math",
        "from math import pi",
        "def _getattr_(): pass",
        "match x:\n    case int(real=y): pass",
        "def f(): return __builtins__",
    ],
)  # fmt: skip
def test_the_check_sees_what_python_itself_compiles(program: str) -> None:
    with pytest.raises(AssertionError):
        check_code(compile(program, "<plain>", "exec"))


@pytest.mark.parametrize(
    "program",
    [
        "x = [len.__self__]",
        "x = int.__class__",
        "x = {1: (lambda: 0).__code__}",
        "class A: pass\nx = A()\nx.y = int.__class__",
        "__builtins__['__import__']('os').listdir('/')",
        "try:\n    __builtins__['__import__']('os').system('true')\nexcept Exception: pass",
    ],
)
def test_the_watch_sees_what_unguarded_code_reaches(elsewhere: Executor, program: str) -> None:
    assert elsewhere.submit(unguarded_breach, program).result() is not None
