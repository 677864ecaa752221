"""Data sets by name: counts, fields, and the errors when one is not available."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.paths import SHARED, needs_shared

from treestar.benchmarks.datasets import NAMED_SETS, load_problems, problem_from_hub, problem_from_line
from treestar.benchmarks.gym import split_of
from treestar.retrieval import paragraphs_of, supporting_paragraphs
from treestar.types import TreestarError
from treestar.verifier.grading.questions import gold_answers


def write_jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@needs_shared("sets")
@pytest.mark.parametrize("name", NAMED_SETS)
def test_every_named_set_is_whole(name: str) -> None:
    found = load_problems(name, SHARED / "sets")
    assert found.original == NAMED_SETS[name].count
    assert len(found.problems) + found.without_answer == found.original
    assert found.without_answer == {"gaokao2023en": 2, "omni-math": 9}.get(name, 0)
    assert len({problem.id for problem in found.problems}) == len(found.problems)
    assert {problem.kind for problem in found.problems} == {"code" if name == "humaneval" else NAMED_SETS[name].kind}


def test_a_set_with_another_count_is_an_error(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "aime2024.jsonl", *[{"question": f"{i}?", "answer": str(i)} for i in range(29)])
    with pytest.raises(TreestarError, match=r"aime24 has 30 problems, but .* has 29"):
        load_problems("aime24", tmp_path)
    assert len(load_problems(f"jsonl:{tmp_path / 'aime2024.jsonl'}").problems) == 29


def test_a_limit_takes_the_first(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", *[{"id": i, "question": f"{i}?", "answer": i} for i in range(9)])
    found = load_problems(f"jsonl:{path}", limit=4)
    assert [problem.id for problem in found.problems] == ["0", "1", "2", "3"]
    assert found.original == 9


def test_problems_without_a_gold_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "own.jsonl", {"question": "a", "answer": "1"}, {"question": "b"}, {"question": "c", "answer": ""}
    )
    found = load_problems(f"jsonl:{path}")
    assert [problem.question for problem in found.problems] == ["a"]
    assert (found.original, found.without_answer) == (3, 2)
    write_jsonl(path, {"question": "b"})
    with pytest.raises(TreestarError, match="no problem with a gold answer"):
        load_problems(f"jsonl:{path}")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gsm9k", "unknown data set 'gsm9k'"),
        ("gsm8k", "No such file"),
        ("jsonl:nothing.jsonl", "No such file"),
        ("rg:knitting", "the families and levels are"),
        ("rg:gcd:impossible", "the families and levels are"),
        ("hf:nobody/nothing", "without a network, give the set's JSON Lines file as jsonl:PATH"),
    ],
)
def test_what_cannot_be_had_is_said(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=sentence):
        load_problems(name, tmp_path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "a", "answer": "1"}\n\n{"question": \n')
    with pytest.raises(TreestarError, match="line 3: not JSON"):
        load_problems(f"jsonl:{path}")


def test_own_problems_can_be_an_array_and_compressed(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps([{"question": "a", "answer": 1}, {"question": "b", "id": "x"}]).encode()))
    found = load_problems(f"jsonl:{path}")
    assert [(each.id, each.question, each.answer) for each in found.problems] == [("1", "a", "1")]
    assert (found.original, found.without_answer) == (2, 1)
    path.write_text('[{"question": "a", "answer": 1}, {"answer": 1}]')
    with pytest.raises(
        TreestarError,
        match=r"own\.jsonl\.gz, item 2: no text `question`, `problem` or `prompt` among its fields \(answer\)",
    ):
        load_problems(f"jsonl:{path}")


def test_reasoning_gym_problems_are_test_problems_and_repeat() -> None:
    found = load_problems("rg:gcd", limit=7)
    assert [problem.metadata["level"] for problem in found.problems] == ["easy"] * 3 + ["mid"] * 2 + ["hard"] * 2
    assert all(split_of(problem.question) == "test" for problem in found.problems)
    assert found == load_problems("rg:gcd", limit=7)
    assert len(load_problems("rg:gcd:mid", limit=5).problems) == 5


def test_the_hub_library_reads_a_folder_in_the_hub_s_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "repository"
    folder.mkdir()
    rows = [{"problem": f"What is {i} + {i}?", "answer": str(2 * i), "level": "Level 3"} for i in range(5)]
    write_jsonl(folder / "test.jsonl", *rows)
    write_jsonl(folder / "train.jsonl", *rows[:2])
    found = load_problems(f"hf:{folder}")
    assert [problem.answer for problem in found.problems] == ["0", "2", "4", "6", "8"]
    assert found.problems[3].question == "What is 3 + 3?"
    assert found.problems[3].metadata["level"] == "3"
    assert len(load_problems(f"hf:{folder}@train").problems) == 2
    assert len(load_problems(f"hf:{folder}@train+test").problems) == 7
    with pytest.raises(TreestarError, match="cannot be loaded"):
        load_problems(f"hf:{folder}@validation")


@pytest.mark.parametrize(
    ("row", "question", "answer", "metadata"),
    [
        ({"question": "q", "answer": "so 3 <<1+2=3>>\n#### 1,003"}, "q", "1003", {}),
        ({"problem": "q", "solution": r"hence $\boxed{\frac12}$.", "type": "Algebra", "level": "Level 5"}, "q",
         r"\frac12", {"subject": "Algebra", "level": "5"}),
        ({"question": "q", "final_answer": ["1", "2"]}, "q", "1, 2", {}),
        ({"Problem": "q", "Answer": 5, "ID": 7}, "q", "5", {}),
        ({"Problem": "q", "Solution": r"so $\boxed{5}$."}, "q", "5", {}),
        ({"Body": "Ann has 3 pens. ", "Question": "How many?", "Answer": "3.0"}, "Ann has 3 pens. How many?",
         "3.0", {}),
        ({"prompt": "def f():\n", "canonical_solution": " return 1", "test": "T", "entry_point": "f", "task_id": "x/1"},
         "def f():\n", " return 1", {"entry_point": "f", "tests": "T"}),
        ({"problem": "q", "answer": 204, "domain": ["a", "b"], "difficulty": 5.5}, "q", "204",
         {"subject": "a, b", "level": 5.5}),
    ],
)  # fmt: skip
def test_the_hub_s_fields_are_understood(row: dict, question: str, answer: str, metadata: dict) -> None:
    problem = problem_from_hub(row, "some/set", 0)
    assert (problem.question, problem.answer, dict(problem.metadata)) == (question, answer, metadata)
    assert problem.kind == ("code" if "entry_point" in row else "math")
    line = problem_from_line(json.dumps(row), 0)
    assert (line.question, line.answer, line.kind) == (question, answer, problem.kind)


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"solution": r"so $\boxed{5}$."}, "5"),
        ({"solution": "2 and 3 are 5.\n#### 5"}, "5"),
        ({"solution": "Start with 3 and count up by 2."}, None),
        ({"solution": ["so", "5"]}, None),
        ({"answer": "", "final_answer": "5"}, "5"),
    ],
)
def test_a_solution_is_a_gold_answer_where_it_states_one(row: dict[str, object], gold: str | None) -> None:
    assert problem_from_line(json.dumps({"question": "q", **row}), 1).answer == gold


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("43", "43"),
        (43, "43"),
        (0.5, "0.5"),
        (["43"], "43"),
        (["1", 2], "1, 2"),
        ("3+4=7\n#### 7", "7"),
        ([r"\frac12"], r"\frac12"),
    ],
)
def test_a_line_s_answer_is_a_text_a_number_or_a_list(tmp_path: Path, answer: object, gold: str) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", {"question": "q", "answer": answer})
    assert [problem.answer for problem in load_problems(f"jsonl:{path}").problems] == [gold]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [([], "at least one"), ([None], "texts or numbers"), ([["1"]], "texts or numbers"), ({"value": 1}, "not dict")],
)
def test_an_answer_of_another_kind_is_refused(tmp_path: Path, answer: object, sentence: str) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", {"question": "q", "answer": answer})
    with pytest.raises(TreestarError, match=f"line 1: .*{sentence}"):
        load_problems(f"jsonl:{path}")
    with pytest.raises(TreestarError, match=f"'some/set', row 3: .*{sentence}"):
        problem_from_hub({"question": "q", "answer": answer}, "some/set", 3)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", {"question": "q", "answer": "1"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_problems(f"jsonl:{path}").problems) == 1


def test_unknown_fields_are_said() -> None:
    with pytest.raises(
        TreestarError, match="row 0: no text `question`, `problem` or `prompt` among its fields \\(input\\)"
    ):
        problem_from_hub({"input": "q"}, "some/set", 0)


@pytest.mark.parametrize("answer", [None, "", "  ", float("nan")])
def test_what_says_nothing_is_no_gold_answer(tmp_path: Path, answer: object) -> None:
    """NaN is how a table marks a number that is missing."""
    path = write_jsonl(tmp_path / "own.jsonl", {"question": "q", "answer": answer}, {"question": "r", "answer": "1"})
    assert load_problems(f"jsonl:{path}").without_answer == 1
    row = {"problem": "q", "answer": answer, "solution": r"so $\boxed{5}$."}
    assert problem_from_hub(row, "some/set", 0).answer == "5"
    with pytest.raises(TreestarError, match="row 0: there is no `answer`, and `solution` must be a text, not list"):
        problem_from_hub({**row, "solution": ["so 5"]}, "some/set", 0)


@pytest.mark.parametrize(
    ("fields", "golds"),
    [
        ({"answer": "Paris", "answer_aliases": "City of Light"}, ["Paris", "City of Light"]),
        ({"answer": "Paris", "answer_aliases": [None, "Lutetia", 7]}, ["Paris", "Lutetia", "7"]),
        ({"answer": ["Paris", None], "answer_aliases": None}, ["Paris"]),
        ({"answer": [None, "Paris"]}, ["Paris"]),
        ({"answer": True}, ["yes"]),
        ({"answer": False, "answer_aliases": []}, ["no"]),
        ({"answer": []}, []),
    ],
)
def test_a_question_s_gold_answers_are_what_its_line_says(fields: dict, golds: list[str]) -> None:
    line = json.dumps({"question": "q", "kind": "qa", **fields})
    assert gold_answers(problem_from_line(line, 1)) == golds


PARAGRAPH = {"title": "Ada", "sentences": ["Ada is", " a town."], "supporting": True}
ON_THE_HUB = [
    {
        "context": {"title": ["Ada", "Bo"], "sentences": [["Ada is", " a town."], ["Bo is not."]]},
        "supporting_facts": {"title": ["Ada"], "sent_id": [0]},
    },
    {
        "paragraphs": [
            {"idx": 0, "title": "Ada", "paragraph_text": "Ada is a town.", "is_supporting": True},
            {"idx": 1, "title": "Bo", "paragraph_text": "Bo is not.", "is_supporting": False},
        ],
        "answer_aliases": ["a town"],
    },
    {"paragraphs": [PARAGRAPH, {"title": "Bo", "text": "Bo is not.", "supporting": False}], "level": None},
]


@pytest.mark.parametrize("fields", ON_THE_HUB)
def test_questions_on_the_hub_are_questions(fields: dict[str, object]) -> None:
    problem = problem_from_hub({"id": "5a", "question": "What is Ada?", "answer": "town", **fields}, "some/set", 0)
    assert (problem.kind, problem.id, problem.answer) == ("qa", "5a", "town")
    assert paragraphs_of(problem) == [("Ada", "Ada is a town."), ("Bo", "Bo is not.")]
    assert supporting_paragraphs(problem) == [("Ada", "Ada is a town.")]
    assert "level" not in problem.metadata


def test_a_row_of_the_hub_that_is_not_in_its_layout_is_named() -> None:
    row = {"question": "What is Ada?", "answer": "town", "context": {"title": ["Ada", "Bo"], "sentences": [["A."]]}}
    with pytest.raises(TreestarError, match="data set 'some/set', row 7: "):
        problem_from_hub(row, "some/set", 7)


def test_a_folder_may_have_the_fields_of_a_line(tmp_path: Path) -> None:
    limits = {"tests": [{"input": "2", "output": "4"}], "public_tests": [{"input": "1", "output": "2"}]}
    write_jsonl(tmp_path / "test.jsonl", {"question": "Double it.", "time_limit": 2, **limits})
    [problem] = load_problems(f"hf:{tmp_path}").problems
    assert (problem.kind, problem.answer) == ("code", "")
    assert problem.metadata == {"time_limit": 2, **limits}


def test_empty_fields_for_tests_ask_for_no_program(tmp_path: Path) -> None:
    tests = {"entry_point": "f", "tests": "def check(f): assert f(1) == 2"}
    file = write_jsonl(
        tmp_path / "mixed.jsonl",
        {"question": "Add one.", "answer": None, **tests},
        {"question": "1 + 1?", "answer": "2", "entry_point": None, "tests": None},  # as a table writes its columns
    )
    assert [each.kind for each in load_problems(f"jsonl:{file}").problems] == ["code", "math"]


@pytest.mark.parametrize(
    "fields", [{"tests": [{"input": 1, "output": "2"}]}, {"tests": ["assert f(1)"], "public_tests": "assert f(1)"}]
)
def test_tests_that_cannot_be_run_are_refused_by_line(tmp_path: Path, fields: dict[str, object]) -> None:
    file = write_jsonl(tmp_path / "own.jsonl", {"question": "?", "tests": ["assert f(2)"]}, {"question": "?", **fields})
    with pytest.raises(TreestarError, match=r"own\.jsonl, line 2: problem '2' has no (public_)?tests that a program"):
        load_problems(f"jsonl:{file}")
