"""The `treestar` command as users see it: answers, JSON, files, and messages about wrong input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from treestar.cli.problem_file import read_problems
from treestar.config.fields import field_docstrings
from treestar.policy.models import problems_path
from treestar.search import STRATEGIES, Tree

QUICK = ("--max-rollouts", "2", "--children", "2")


def test_one_question(treestar, tmp_path: Path) -> None:
    ran = treestar("solve", "What is 12 + 7?", *QUICK, "--save-tree", str(tmp_path / "tree.json"))
    assert ran.code == 0
    assert "What is 12 + 7?" in ran.out
    assert "answer" in ran.out
    assert Tree.load(tmp_path / "tree.json").problem.question == "What is 12 + 7?"


def test_json_is_all_that_stands_on_stdout(treestar, tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"question": f"What is {i} + {i}?", "answer": 2 * i}) + "\n" for i in (3, 4)))
    ran = treestar("solve", "--file", str(file), "--json", *QUICK)
    assert ran.code == 0
    results = {data["id"]: data for data in map(json.loads, ran.out.splitlines())}
    assert set(results) == {"1", "2"}
    assert results["1"]["gold"] == "6"
    assert results["1"]["stats"]["generated_tokens"] > 0
    assert isinstance(results["1"]["correct"], bool)


@pytest.mark.parametrize("strategy", ["greedy", "majority", "best_of_n"])
def test_every_strategy(treestar, strategy: str) -> None:
    samples = () if strategy == "greedy" else ("--samples", "3")
    ran = treestar("solve", "What is 2 + 3?", "--strategy", strategy, "--json", *samples)
    assert ran.code == 0
    assert json.loads(ran.out)["stats"]["rollouts"] == (1 if strategy == "greedy" else 3)


@pytest.fixture(scope="module")
def ppm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained PPM over the toy policy; its head is random."""
    import torch

    from treestar.ppm import ppm_from_policy

    made = ppm_from_policy("toy")
    torch.manual_seed(0)
    torch.nn.init.normal_(made.model.score.weight, std=0.1)
    folder = tmp_path_factory.mktemp("ppm")
    made.save(folder)
    return str(folder)


SLOW_STRATEGIES = [pytest.param(name, marks=pytest.mark.slow) for name in ("best_of_n", "dvts", "adaptive_branching")]


@pytest.mark.parametrize("strategy", ["mcts", "weighted_vote", "beam", *SLOW_STRATEGIES])
def test_every_strategy_with_a_ppm(treestar, ppm: str, tmp_path: Path, strategy: str) -> None:
    tree = tmp_path / "tree.json"
    arguments = ("--strategy", strategy, "--ppm", ppm, "--max-generated-tokens", "600", "--save-tree", str(tree))
    ran = treestar("solve", "What is 2 + 3?", *arguments)
    assert ran.code == 0, ran.said
    assert re.search(r"answer \d+ .* [1-9]\d* read by the PPM", ran.said)
    saved = Tree.load(tree)
    assert saved.strategy == strategy
    assert len({node.score for node in saved.nodes}) > 1


def test_trees_are_written_in_bulk_with_what_was_right(treestar, tmp_path: Path) -> None:
    file, folder = tmp_path / "problems.jsonl", tmp_path / "trees"
    ids = ["a/1", "a_1", "b"]
    lines = [json.dumps({"id": name, "question": f"What is {n} + 2?", "answer": n + 2}) for n, name in enumerate(ids)]
    file.write_text("\n".join(lines) + "\n")
    ran = treestar(
        "solve", "--file", str(file), "--save-tree", str(folder), "--gold", "--no-early-stop", "--children", "4"
    )
    assert ran.code == 0, ran.said
    trees = [Tree.load(path) for path in sorted(folder.iterdir())]
    assert sorted(tree.problem.id for tree in trees) == ids
    for tree in trees:
        ends = [node for node in tree.terminals() if node.answer is not None]
        assert ends
        assert all(node.correct == (node.answer == tree.problem.answer) for node in ends)
    alone = tmp_path / "alone"
    alone.mkdir()
    treestar("solve", "What is 2 + 3?", "--save-tree", str(alone), *QUICK)
    assert len(list(alone.iterdir())) == 1


def test_same_seed_same_result(treestar) -> None:
    results = [json.loads(treestar("solve", "What is 2 + 3?", "--json", *QUICK, "--seed", "5").out) for _ in range(2)]
    for result in results:
        for name in ("seconds", "executed_seconds"):
            del result["stats"][name]
    assert results[0] == results[1]


def test_a_broken_line_is_named_and_the_others_are_solved(treestar, tmp_path: Path) -> None:
    file, out = tmp_path / "problems.jsonl", tmp_path / "out.jsonl"
    good = json.dumps({"id": "a", "question": "What is 3 + 4?"})
    half = json.dumps({"question": "What is \ud83d?"})
    file.write_text(
        f'{good}\n{{"question": \n{{"id": "b"}}\n{json.dumps({"id": "c", "question": "  "})}\n[1]\n{half}\n'
    )
    ran = treestar("solve", "--file", str(file), "--out", str(out), "--json", *QUICK)
    assert ran.code == 1
    for fault in (
        "line 2: not JSON",
        "line 3: no text `question`",
        "line 4: problem 'c': the question is empty",
        "line 5",
    ):
        assert fault in ran.said
    assert "line 6: half a character" in ran.said
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ["a"]
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["a"]
    again = treestar("solve", "--file", str(file), "--out", str(out), "--json", *QUICK)
    assert json.loads(again.out)["id"] == "a"
    assert len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["solve"], 2, "give exactly one of"),
        (["solve", "q", "--examples"], 2, "give exactly one of"),
        (["solve", ""], 2, "Invalid value: the question is empty"),
        (["solve", "3 \udcff 4"], 2, "Invalid value: the question has half a character"),
        (["solve", "q", "--exploration", "nan"], 2, "Invalid value: --exploration must be a finite number"),
        (["solve", "q", "--temperature", "nan"], 2, "must be a finite number"),
        (["solve", "q", "--max-rollouts", "0"], 2, "rollouts must be a whole number, 1 or more"),
        (["solve", "q", "--max-rollouts", "many"], 2, "Invalid value for '--max-rollouts'"),
        (["solve", "q", "--rule", "ucb"], 2, "ucb"),
        (["solve", "q", "--strategy", "beams"], 2, "unknown strategy 'beams': did you mean beam?"),
        (["solve", "q", "--samples", "4"], 2, "--samples is not an option of the strategy mcts, but of best_of_n, "),
        (["solve", "What", "is", "2", "+", "3?"], 2, "Put the question in quotes: treestar solve 'What is 2 + 3?'"),
        (["solve", "-2 + 3 = ?", "--policy", "toy"], 2, "treestar solve -- '-2 + 3 = ?'"),
        (["solve", "q", "--polcy", "toy"], 2, "No such option: --polcy (Possible options: --gold, --policy)"),
        (["solve", "q", "--policy", "vlmm:toy"], 1, "policy 'vlmm:toy': vlmm: is not a backend"),
        (["grade", "--jsno", "1", "1"], 2, "there is no option --jsno"),
        (["bench", "gsm8", "--out", "o", "--policy", "toy"], 1, "unknown data set 'gsm8': did you mean gsm8k?"),
        (["bench", "comapre", "a", "b"], 2, "No such command 'comapre'. Did you mean 'compare'?"),
        (["bench", "compare", "a", "b"], 1, "a is not a benchmark run: a/config.json: No such file or directory"),
        (["evolve", "--preset", "toy-quik", "--out", "o"], 1, "unknown preset 'toy-quik': did you mean toy-quick?"),
        (["evolve", "--out", "nothing-here", "--resume"], 2, "no job has begun in nothing-here"),
        (["solve", "q", "--strategy", "greedy", "--children", "4"], 2, "--children is not an option of"),
        (["solve", "q", "--strategy", "beam"], 2, "beam needs a process preference model: name one with --scorer"),
        (
            ["solve", "q", "--strategy", "dvts", "--ppm", "x", "--beam-width", "2"],
            2,
            "--beam-width is not an option of",
        ),
        (["solve", "q", "--ppm", "./nothing-here"], 1, "there is no such folder"),
        (["solve", "q", "--policy", "./nothing-here"], 1, "there is no such folder"),
        (["solve", "q", "--policy", "nothing-here.gguf"], 1, "there is no such file"),
        (["solve", "q", "--policy", __file__], 1, "it is a file, but not a GGUF file"),
        (["solve", "q", "--policy", "tyo"], 1, "there is no policy 'tyo': did you mean 'toy'?"),
        (["solve", "q", "--ppm", "embeded"], 1, "there is no PPM 'embeded': did you mean 'embedded'?"),
        (
            ["solve", "q", "--policy", "toy", "--step-separator", "##"],
            1,
            "a step separator is for the step formats cot",
        ),
        (["doctor", "--step-format", "cot"], 2, "--step-format is for a model: also give --policy"),
        (["bench", "jsonl:x", "--out", "o", "--strategy", "greedy, mtcs"], 2, "unknown strategy 'mtcs'"),
        (["solve", "q", "--policy", "nobody/nothing"], 1, "cannot be loaded"),
        (["solve", "--file", "no-such-file.jsonl"], 1, "No such file"),
        (["solve", "q", "--out", "/nonexistent/out.jsonl"], 1, "cannot be written"),
        (["solve", "q", "--save-tree", "/nonexistent/tree.json"], 1, "cannot be written"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_wrong_usage_is_one_clear_sentence(treestar, arguments: list[str], code: int, sentence: str) -> None:
    ran = treestar(*arguments)
    assert ran.code == code
    assert sentence in ran.said
    assert ran.out == ""


def test_only_line_breaks_end_a_line(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    questions = ["What is\u20283 + 4?", "What is\u00855 + 6?"]
    lines = [json.dumps({"question": question}, ensure_ascii=False) for question in questions]
    file.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    problems, faults = read_problems(file)
    assert ([problem.question for problem in problems], faults) == (questions, [])


def test_the_problems_of_an_array_that_are_none_are_named_and_the_others_kept(tmp_path: Path) -> None:
    file = tmp_path / "problems.json"
    file.write_text(json.dumps([{"question": "What is 3 + 4?"}, "What?", {"question": "2?", "id": 9}], indent=2))
    problems, faults = read_problems(file)
    assert [(problem.id, problem.question) for problem in problems] == [("1", "What is 3 + 4?"), ("9", "2?")]
    assert faults == [f"{file}, item 2: not an object with a `question`"]


def test_a_file_of_another_kind_is_said_in_a_sentence(treestar, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("What is 3 + 4?\n" * 1000)
    ran = treestar("solve", "--file", str(file))
    assert (ran.code, ran.out, ran.said.count("questions.txt")) == (1, "", 1)
    assert "questions.txt, line 1: not JSON" in ran.said
    assert "and the 999 after it are not problems either: put a JSON object with a `question` on each line" in ran.said


def test_a_file_without_problems_is_said_in_a_sentence(treestar, tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text("\n")
    ran = treestar("solve", "--file", str(file), "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "has no problem: put a JSON object with a `question` on each line" in ran.said


def test_a_huge_question_is_refused_and_a_long_one_ends_cleanly(treestar, tmp_path: Path) -> None:
    assert "1,000,001 characters" in treestar("solve", "9" * 1_000_001).said
    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps({"question": "word " * 5_000}) + "\n")
    ran = treestar("solve", "--file", str(file), "--json")
    assert ran.code == 0
    result = json.loads(ran.out)
    assert (result["answer"], result["stopped"], result["stats"]["generated_tokens"]) == (None, "exhausted", 0)


def test_help_lists_every_setting_with_its_documentation(treestar) -> None:
    ran = treestar("solve", "--help")
    assert ran.code == 0
    for config_class, _ in STRATEGIES.values():
        documented = field_docstrings(config_class)
        for field in fields(config_class):
            assert f"--{field.name.replace('_', '-')}"[:20] in ran.said
            assert field.name in documented


def test_the_built_in_problems_are_whole() -> None:
    problems = [json.loads(line) for line in problems_path("toy").read_text().splitlines()]
    assert len(problems) >= 5
    assert all(problem["question"] and problem["answer"] for problem in problems)


def test_doctor(treestar) -> None:
    ran = treestar("doctor")
    assert ran.code == 0, ran.said
    assert "FAILED" not in ran.out
    assert "torch" in ran.out


def test_the_installed_command() -> None:
    """In a process of its own."""
    command = str(Path(sys.executable).parent / "treestar")
    grade = subprocess.run([command, "grade", "\\frac{1}{2}", "0.5"], capture_output=True, text=True, timeout=120)
    assert grade.returncode == 0, grade.stdout + grade.stderr
    assert "equal" in grade.stdout
