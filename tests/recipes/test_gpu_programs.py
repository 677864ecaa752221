"""Programs that a policy sampled on a GPU: whether they are right, and the trees and pairs that they make."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from math import isfinite
from pathlib import Path

import pytest

pytest.importorskip("trl")

from hypothesis import given
from hypothesis import strategies as st

from recipes.word_problems.gpu import sampled_trees
from recipes.word_problems.gpu.batches import LENGTHS
from recipes.word_problems.gpu.programs import END_OF_CODE, END_OF_STEP, is_right, printed, steps_of
from recipes.word_problems.gpu.stored import read_samples, write_samples
from recipes.word_problems.gpu.teach import Question
from recipes.word_problems.gpu.trees import comparison_of, finished_states, tree_of
from treestar.policy.formats import step_format_named
from treestar.policy.models import load_tokenizer, policy_path
from treestar.ppm.pairs import make_pairs
from treestar.search import Tree
from treestar.types import Problem, TreestarError


def program(*lines: str) -> str:
    return f"\n{END_OF_STEP}\n".join(lines) + f"\n{END_OF_CODE}"


@given(st.integers(-50, 50), st.integers(1, 50), st.sampled_from(["+", "-", "*", "/", "//", "%"]))
def test_programs_print_what_python_prints(first: int, second: int, operator: str) -> None:
    steps = [f"# a\nfirst = {first}", f"# b\nsecond = first {operator} {second}\nprint(second)"]
    assert float(printed(steps) or 0) == pytest.approx(eval(f"{first} {operator} {second}"))


def test_a_root_is_computed_as_python_computes_it() -> None:
    assert printed(["side = 16 ** 0.5\nprint(side)"]) == 4


@pytest.mark.parametrize(
    "code",
    ["", "import os", "print(open('/etc/passwd'))", "print(1)\nprint(2)", "x = y", "print('a')", "while True: pass",
     "x = 1 / 0\nprint(x)", "(" * 500, "-" * 5000 + "1", "print(x.y)", "from os import path\nprint(1)", "print(True)",
     "print(round(2.55, ndigits=1))", "print((-8) ** 0.5)", "x = \0"],
)  # fmt: skip
def test_what_is_not_arithmetic_prints_nothing(code: str) -> None:
    assert printed([code]) is None


def test_a_program_is_right_if_it_ends_and_prints_the_answer() -> None:
    text = f"# a\nx = 3 * 4\n{END_OF_STEP}\n# b\ny = x / 5\nprint(y)\n{END_OF_CODE}"
    assert steps_of(text) == ["# a\nx = 3 * 4", "# b\ny = x / 5\nprint(y)"]
    assert printed(steps_of(text) or []) == Fraction(12, 5)
    assert is_right(text, "2.4")
    assert not is_right(text, "2.5")
    assert not is_right(text.removesuffix(END_OF_CODE), "2.4")


@pytest.mark.parametrize(
    "expression",
    ["9 ** 9 ** 9", "9 ** 9 ** 9 ** 9", "((((9 ** 60) ** 60) ** 60) ** 60) ** 60", "factorial(10 ** 9)",
     "comb(10 ** 9, 10 ** 8)", "round(5, -(10 ** 9))", "1e999", "-1e999", "1e999 - 1e999", "10 ** 60.5"],
)  # fmt: skip
def test_what_takes_long_or_is_no_number_prints_nothing(expression: str) -> None:
    assert printed([f"x = {expression}\nprint(x)"]) is None
    tree = tree_of(Problem("?", "1"), {program(f"x = {expression}\nprint(x)"): 2})
    assert [node.visits for node in tree.nodes] == [2]


HUGE = ["x = 10 ** 20", *["x = x * 10 ** 20"] * 19, "print(x)"]
"""Prints a whole number that is too large for a float."""


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (HUGE, Fraction(10**400)),
        (["x = 1e200", "y = x * x", "print(y)"], Fraction(10**400)),
        (["x = 1e200", "y = x * x", "z = y / x / x", "print(z)"], Fraction(1)),
        (["x = 1e200", "y = x * x", "z = y - y", "print(z)"], Fraction(0)),
        (["x = 10 ** 60", *["x = x * x"] * 3, "print(x / 2)"], Fraction(10**480, 2)),
    ],
    ids=["int", "inf", "inf on the way", "nan", "overflow"],
)
def test_a_program_for_which_floats_are_too_small_has_no_answer_in_a_tree(lines: list[str], value: Fraction) -> None:
    text = program(*lines)
    assert printed(steps_of(text) or []) == value
    assert not is_right(text, "5")
    tree = tree_of(Problem("?", "5"), {text: 3})
    assert tree.terminals() == []
    assert [(node.visits, node.value_sum) for node in tree.nodes] == [(3, -3)] * len(lines)


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "0", "0.1", "3", "20", "1e200", "12345678901234567890"]),
    lambda parts: st.one_of(
        st.builds("({} {} {})".format, parts, st.sampled_from(["+", "-", "*", "/", "//", "%"]), parts),
        st.builds("({} ** {})".format, parts, st.sampled_from(["2", "20", "60", "(-3)", "0.5", "x"])),
        st.builds("{}({})".format, st.sampled_from(["-", "sqrt", "ceil", "factorial", "round"]), parts),
        st.builds("{}({}, {})".format, st.sampled_from(["gcd", "lcm", "comb", "round", "max", "min"]), parts, parts),
    ),
    max_leaves=12,
)
IMPORTS = "from math import sqrt, ceil, factorial, gcd, lcm, comb"
PROGRAMS = st.builds(
    lambda first, second, last: program(IMPORTS, f"x = {first}", f"y = {second}", f"print({last})"),
    *[EXPRESSIONS] * 3,
)
PIECES = st.sampled_from(
    ["x", " = ", "1", "1e999", "(", ")", "#", "\n", "\0", "print(", f"{END_OF_STEP}\n", END_OF_CODE, "<answer>", "\\"]
)
WRITTEN = st.one_of(
    PROGRAMS,
    st.text(),
    st.text().map(program),
    st.lists(PIECES).map("".join),
    st.lists(PIECES).map("".join).map(program),
)
TOKENIZER, STEP_FORMAT = load_tokenizer(policy_path("toy")), step_format_named("rstar")


@given(st.dictionaries(WRITTEN, st.integers(1, 9), max_size=4))
def test_whatever_a_policy_writes_can_be_judged_and_compared(programs: Mapping[str, int]) -> None:
    problem = Problem("How many?", "5")
    assert all(is_right(text, "5") in (True, False) for text in programs)
    tree = tree_of(problem, programs)
    assert tree.root.visits == sum(programs.values())
    assert all(isfinite(float(node.answer or "nan")) for node in tree.terminals())
    comparison = comparison_of(problem, programs, TOKENIZER, STEP_FORMAT)
    finished = finished_states(problem, programs, TOKENIZER, STEP_FORMAT)
    assert set(finished) <= set(programs)
    assert all(len(ids) <= LENGTHS[-1] for ids in [*finished.values(), *(comparison.states if comparison else [])])


def test_states_with_very_long_numbers_are_not_scored() -> None:
    short = program("# a\nx = 2 + 3\nprint(x)")
    long = program("x = 10 ** 20", *["x = x * 10 ** 20"] * 14, "print(x)")
    assert printed(steps_of(long) or []) == 10**300
    assert list(finished_states(Problem("?", "5"), {short: 1, long: 1}, TOKENIZER, STEP_FORMAT)) == [short]


def test_samples_share_the_nodes_of_their_first_steps() -> None:
    right, wrong = program("# a\na = 2 + 3", "# b\nb = a * 2\nprint(b)"), program("# a\na = 2 + 3", "print(a)")
    other, unfinished = program("# a\na = 2 * 3\nprint(a)"), "# a\na = 2 + 3"
    tree = tree_of(Problem("?", "10", id="one"), {right: 6, wrong: 2, other: 3, unfinished: 1})
    root = tree.root
    assert root.visits == 12
    assert root.q_value == 0
    first, second = root.children
    assert (first.visits, first.q_value) == (8, 0.5)
    assert (second.visits, second.q_value) == (3, -1)
    assert [(node.answer, node.correct) for node in tree.terminals()] == [("10", True), ("6", False), ("5", False)]
    pairs, _ = make_pairs([tree])
    assert {(pair.source, pair.step) for pair in pairs} >= {("step", 1), ("step", 2)}
    assert all(pair.q_chosen > pair.q_rejected for pair in pairs)


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    questions = [Question(name, "?", [1, 2], "5", "svamp") for name in ("one", "two", "three")]
    drawn = [(questions[2], Counter({"b": 3, "a é": 1})), (questions[0], Counter({"c": 4}))]
    write_samples(tmp_path / "searched.jsonl.gz", drawn)
    found = read_samples(tmp_path / "searched.jsonl.gz", questions)
    assert found == drawn
    assert [list(programs) for _, programs in found] == [["b", "a é"], ["c"]]
    assert [file.name for file in tmp_path.iterdir()] == ["searched.jsonl.gz"]
    with pytest.raises(TreestarError, match="'one', which is not in the data"):
        read_samples(tmp_path / "searched.jsonl.gz", questions[1:])


def test_sampled_programs_become_trees_to_train_a_ppm_on(tmp_path: Path) -> None:
    right, wrong = program("# a\na = 2 + 3\nprint(a)"), program("# a\na = 2 * 3\nprint(a)")
    rows = [{"id": name, "question": f"{name}?", "answer": "5", "source": "asked"} for name in ("both", "one")]
    (tmp_path / "searched.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = [Question(row["id"], row["question"], (), row["answer"], row["source"]) for row in rows]
    programs = [Counter({right: 3, wrong: 1}), Counter({right: 4})]
    write_samples(tmp_path / "samples.gz", list(zip(questions, programs, strict=True)))
    sampled_trees.main([str(tmp_path / "samples.gz"), "--data", str(tmp_path), "--out", str(tmp_path / "trees.jsonl")])
    tree = Tree.load(tmp_path / "trees.jsonl")
    assert tree.problem.id == "both"
    assert tree.root.visits == 4
