"""The choice of training trajectories: mean Q, difficulties, copies, rounds, and which answers are trusted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import table
from pyarrow.parquet import write_table
from support.random_trees import end, judged_trees
from support.scripted import ExactVerifier, ScriptedPolicy, components, random_script

from treestar.policy.formats import BoundFormat, RStarFormat
from treestar.ppm.trees import outcomes
from treestar.sandbox import SandboxExecutor
from treestar.search import Components, MCTSConfig, Tree, search_one
from treestar.selfevolve.job import Copies, SelectionConfig
from treestar.selfevolve.selection import (
    Difficulty,
    difficulty,
    program,
    read_sft_rows,
    right_trajectories,
    select,
    sft_rows,
)
from treestar.selfevolve.vetting import overrule, vet
from treestar.storage.states import state_from_json
from treestar.storage.table import Row
from treestar.types import Execution, Problem, State, Step, TreestarError

CONFIG = SelectionConfig(copies=Copies(easy=0.5, medium=1, hard=4))


def rows_of_round(
    trees: Sequence[Tree],
    number: int = 1,
    before: Sequence[Row] = (),
    difficulties: Mapping[str, Difficulty] | None = None,
    config: SelectionConfig = CONFIG,
) -> Sequence[Row]:
    known = {tree.problem.id: "medium" for tree in trees} | dict(difficulties or {})
    return select(number, trees, known, before, config, RStarFormat()).rows


def in_cell(tree: Tree) -> Tree:
    tree.problem = replace(tree.problem, metadata={"cell": "cell"})
    return tree


trees_of_cells = judged_trees(questions=3).map(in_cell)


@given(tree=trees_of_cells)
def test_rows_say_in_which_step_format_they_were_searched(tree: Tree) -> None:
    tree.config = {"step_format": "bound"}
    assert {row.step_format for row in sft_rows(rows_of_round([tree]))} <= {"bound"}
    tree.config = {}
    assert {row.step_format for row in sft_rows(rows_of_round([tree]))} <= {None}


def test_a_data_set_of_other_columns_is_refused_in_a_sentence(tmp_path: Path) -> None:
    write_table(table({"prompt": ["1 + 1"], "completion": ["2"]}), tmp_path / "pairs.parquet")
    with pytest.raises(TreestarError, match="has no column problem_id, trajectory, copies, so it is not a table of"):
        read_sft_rows(tmp_path / "pairs.parquet")


def test_copies_may_be_floats_as_pandas_writes_them(tmp_path: Path) -> None:
    problem, step = {"question": "1 + 1", "id": "sum"}, {"text": "2", "ending": "answer", "answer": "2", "output": ""}
    text = json.dumps({"problem": problem, "steps": [step]})
    rows = {"problem_id": ["a", "b"], "trajectory": [text, text], "copies": [2.0, 0.0]}
    write_table(table(rows), tmp_path / "rows.parquet")
    [row] = read_sft_rows(tmp_path / "rows.parquet")
    assert (row.problem_id, list(range(row.copies)), row.step_format) == ("a", [0, 1], None)


@settings(max_examples=60)
@given(trees=st.lists(trees_of_cells, max_size=5))
def test_the_best_right_trajectories_of_each_problem_are_selected(trees: list[Tree]) -> None:
    rows = rows_of_round(trees)
    assert max(Counter(row["problem_id"] for row in rows).values(), default=0) <= 2
    for row in rows:
        found = [each for tree in trees if tree.problem.id == row["problem_id"] for each in right_trajectories(tree)]
        mine = next(each for each in found if each.mean_q == row["mean_q"])
        chosen = [
            program(state_from_json(each["trajectory"])) for each in rows if each["problem_id"] == row["problem_id"]
        ]
        assert len(chosen) == len(set(chosen))
        better = {each.program for each in found if each.mean_q > mine.mean_q}
        assert better <= set(chosen)
    solved = {tree.problem.id for tree in trees if outcomes(tree)[0].correct}
    assert {row["problem_id"] for row in rows} == solved


@settings(max_examples=30)
@given(trees=st.lists(trees_of_cells, max_size=4), order=st.randoms())
def test_the_order_of_the_trees_does_not_matter(trees: list[Tree], order: object) -> None:
    seeded = [Tree(tree.problem, "mcts", {}, seed, tree.nodes) for seed, tree in enumerate(trees)]
    shuffled = list(seeded)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rows_of_round(seeded) == rows_of_round(shuffled)


def two_ways(seed: int, *programs: str) -> Tree:
    """A tree with correct trajectories of one step each."""
    tree = Tree(Problem("2 + 3?", "5", "p", metadata={"cell": "cell"}), "mcts", {}, seed)
    root = tree.add_root(Execution())
    for code in programs:
        node = tree.add_child(root, Step(code, code, "code", log_probability=-len(code), tokens=1), Execution("5"))
        end(node, "right")
    return tree


def test_the_mean_q_is_over_the_steps_of_the_trajectory() -> None:
    tree = Tree(Problem("?", "1", "p", metadata={"cell": "cell"}), "mcts", {}, 0)
    node = tree.add_root(Execution())
    for text, ends in (("a = 1", ("wrong",)), ("b = 1", ("wrong", "wrong")), ("c = 1", ())):
        node = tree.add_child(node, Step(text, text), Execution())
        for index, how in enumerate(ends):
            end(tree.add_child(node, Step(f"{text} {index}", "pass"), Execution()), how)
    end(node, "right")
    [row] = rows_of_round([tree])
    # Below the first step -1, -1, -1, 1; below the second -1, -1, 1; the third is the end.
    assert row["mean_q"] == pytest.approx(fsum([-0.5, -1 / 3, 1.0]) / 3)


def test_trajectories_that_differ_in_comments_are_one() -> None:
    rows = rows_of_round([two_ways(0, "# add\nprint(2 + 3)", "print(2 + 3)  ", "x = 2 + 3\nprint(x)")])
    assert len({program(state_from_json(row["trajectory"])) for row in rows}) == len(rows) == 2


def test_later_rounds_add_what_is_new_and_keep_what_was_there() -> None:
    first = rows_of_round([two_ways(1, "print(5)", "print(2 + 3)")])
    second = rows_of_round([two_ways(2, "print(5)", "print(3 + 2)")], 2, first)
    assert [row["round"] for row in second] == [1, 1, 2]
    assert second[-1]["completion"].startswith("print(3 + 2)")
    again = rows_of_round([two_ways(3, "print(5)", "print(3 + 2)")], 3, second)
    assert [row["round"] for row in again] == [1, 1, 2]


def test_a_problem_is_shown_as_often_as_its_latest_difficulty_says() -> None:
    first = rows_of_round([two_ways(1, "print(5)")], difficulties={"p": "hard"})
    assert (first[0]["difficulty"], first[0]["copies"]) == ("hard", 4)
    second = rows_of_round([two_ways(2, "print(5)")], 2, first, {"p": "medium"})
    assert (second[0]["difficulty"], second[0]["copies"]) == ("medium", 1)
    # A problem that is no longer solved is hard; one that is no longer searched keeps its difficulty.
    assert rows_of_round([], 3, second, {"p": "unsolved"})[0]["copies"] == 4
    assert rows_of_round([], 3, second)[0]["copies"] == 1


def test_half_a_copy_is_every_other_trajectory() -> None:
    trees = []
    for number in range(400):
        tree = two_ways(0, "print(5)")
        tree.problem = replace(tree.problem, id=f"p{number}")
        trees.append(tree)
    rows = rows_of_round(trees, difficulties={tree.problem.id: "easy" for tree in trees})
    assert 160 < sum(row["copies"] for row in rows) < 240
    assert len(sft_rows(rows)) == sum(row["copies"] for row in rows)
    assert rows == rows_of_round(trees, difficulties={tree.problem.id: "easy" for tree in trees})


def test_the_prompt_and_the_completion_are_what_the_policy_reads_and_writes() -> None:
    [row] = rows_of_round([two_ways(0, "print(5)")])
    assert row["prompt"].endswith("solve the problem with code.<code>\n")
    assert row["completion"] == "print(5)\n<end_of_code>\n<output>5<end_of_output>\n<answer>"
    [trained] = sft_rows([row])
    assert trained.trajectory.problem.question == "2 + 3?"
    assert trained.trajectory.executions[0].output == "5"


@pytest.mark.parametrize(
    ("right", "ended", "expected"),
    [(0, 9, "unsolved"), (0, 0, "unsolved"), (1, 10, "hard"), (2, 10, "hard"), (3, 10, "medium"), (8, 10, "easy")],
)
def test_difficulty_goes_by_the_share_of_right_trajectories(right: int, ended: int, expected: str) -> None:
    assert difficulty(right, ended, SelectionConfig()) == expected


@settings(max_examples=60)
@given(tree=judged_trees(), pick=st.randoms())
def test_overruling_leaves_the_values_that_a_reward_of_minus_one_gives(tree: Tree, pick: object) -> None:
    right = [node for node in tree.terminals() if node.correct]
    if not right:
        return
    node = pick.choice(right)  # type: ignore[attr-defined]
    before = [each.value_sum for each in tree.nodes]
    above = {each.index for each in node.path()} | {0}
    overrule(node)
    assert outcomes(tree)[0].correct == len(right) - 1
    for each in tree.nodes:
        assert each.value_sum == before[each.index] - (2.0 if each.index in above else 0.0)


def search(answer: str | None, seed: int, share: float = 0.5) -> Tree:
    """A real search with scripted steps, of a problem with or without a gold answer."""
    config = MCTSConfig(max_rollouts=8, children=4, gold=True, early_stop=False)
    found = asyncio.run(search_one(Problem("q?", answer, "q"), config, components(random_script(share)), seed))
    assert found.tree is not None
    return found.tree


def vetted(tree: Tree, config: SelectionConfig) -> int:
    parts = Components(ScriptedPolicy(random_script()), components(random_script()).executor, ExactVerifier())
    return asyncio.run(vet(tree, parts, config, None))


def test_without_a_gold_answer_the_answer_of_enough_trajectories_is_right() -> None:
    agreed = refused = 0
    for seed in range(30):
        tree = search(None, seed)
        assert all(node.correct is None for node in tree.nodes)
        vetted(tree, SelectionConfig(agreement=0.45))
        right = {node.answer for node in tree.terminals() if node.correct}
        if right:
            agreed += 1
            [answer] = right
            assert sum(node.multiplicity for node in tree.terminals() if node.answer == answer) >= 3
            assert all(
                node.correct == (node.answer == answer) for node in tree.terminals() if node.terminal == "answer"
            )
        else:
            refused += 1
            assert all(node.correct is None for node in tree.nodes)
    assert agreed > 3
    assert refused > 3


def test_a_right_answer_that_one_program_alone_reached_can_be_refused() -> None:
    kept = two_ways(0, "print(5)", "print(2 + 3)")
    assert vetted(kept, SelectionConfig(agreeing_programs=2)) == 0
    alone = two_ways(0, "print(5)", "# the same\nprint(5)")
    assert vetted(alone, SelectionConfig(agreeing_programs=2)) == 2
    assert outcomes(alone)[0].correct == 0


def bound_tree(*programs: str) -> Tree:
    problem = Problem("What is 2 + 3 + 4?", "9", "p", metadata={"cell": "cell"})
    tree = Tree(problem, "mcts", {}, 0)
    root = tree.add_root(Execution())
    for index, code in enumerate(programs):
        step = Step(code, code, "code", log_probability=-float(index), tokens=1)
        end(tree.add_child(root, step, Execution("9")), "right")
    return tree


def other_numbers(problem: Problem, seed: int) -> Problem:
    numbers = [seed % 5 + 1, seed % 7 + 5, seed % 3 + 20]
    return replace(problem, question=f"What is {numbers[0]} + {numbers[1]} + {numbers[2]}?", answer=str(sum(numbers)))


async def vet_in_sandbox(tree: Tree) -> int:
    parts = Components(ScriptedPolicy(random_script()), SandboxExecutor(), ExactVerifier())
    try:
        return await vet(tree, parts, SelectionConfig(instances=3), other_numbers)
    finally:
        await parts.executor.close()


def test_a_program_that_is_wrong_on_other_instances_is_no_solution() -> None:
    names = [name for name, _ in bindings("What is 2 + 3 + 4?")]
    total = " + ".join(names)
    # 9 by coincidence: a constant, a product instead of a sum. Comments do not make it a different program.
    tree = bound_tree(
        "print(9)", "# nine\nprint(9)", f"print({names[1]} * 3)", f"print({total})", f"x = {total}\nprint(x)"
    )
    assert asyncio.run(vet_in_sandbox(tree)) == 3
    assert [node.correct for node in tree.nodes[1:]] == [False, False, False, True, True]
    assert [row["completion"].splitlines()[0] for row in rows_of_round([tree])] == [f"print({total})", f"x = {total}"]
    assert tree.root.value_sum == 5 - 2 * 3


def test_a_right_answer_under_wrong_words_is_no_solution() -> None:
    [(x, _), (y, _), (z, _)] = bindings("What is 2 + 3 + 4?")
    right, wrong = (
        f"# {x} + {y} is a, leaving a {sign} {z}\na = {x} + {y}\n# a + {z} is b, leaving b\nb = a + {z}\nprint(b)"
        for sign in "+-"
    )
    tree = bound_tree(right, wrong)
    assert asyncio.run(vet_in_sandbox(tree)) == 1
    assert [node.correct for node in tree.nodes[1:]] == [True, False]


def bindings(question: str) -> list[tuple[str, str]]:
    preamble = BoundFormat().preamble(Problem(question))
    return [tuple(line.split(" = ")) for line in preamble.splitlines()]  # type: ignore[misc]


def test_exported_rows_say_which_part_the_policy_wrote() -> None:
    from treestar.policy.formats import INSTRUCT, StepFormat, TirFormat
    from treestar.policy.formats.step_format import reply_parts

    step_format: StepFormat = TirFormat(lambda messages: messages[-1]["content"] + "\n", INSTRUCT)
    program = Step("Compute:\n```python\nprint(4)\n```\n", "print(4)\n")
    told = Step("It is \\boxed{4}.", ending="answer", answer="4")
    state = State(Problem("2 + 2?"), (program, told), (Execution("4\n"), Execution()))
    assert reply_parts(step_format, state) == [
        (program.text, True),
        ("```output\n4\n```\n", False),
        (told.text, True),
    ]
    code, answer = Step("print(5)", "print(5)", "code"), Step("It is \\boxed{5}.", ending="answer", answer="5")
    state = State(Problem("2 + 3?"), (code, answer), (Execution("5\n"), Execution()))
    assert reply_parts(RStarFormat(), state) == [
        ("print(5)\n<end_of_code>", True),
        ("\n<output>5<end_of_output>\n<answer>", False),
        ("It is \\boxed{5}.<end_of_answer>", True),
    ]
