"""The recipe for word problems: programs from annotated solutions, their variations, and what may not be taught."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("yaml")

from recipes.word_problems.annotated import program_of_solution
from recipes.word_problems.corpus import EVERYDAY, Mixture, build_corpus, is_held_out
from recipes.word_problems.equations import program_of_equation
from recipes.word_problems.overlap import TEST_SETS, Overlaps
from recipes.word_problems.program import Line, WordProblem, trajectory_of, value_of
from recipes.word_problems.templates import chosen, filled, situations, template_questions, templates
from recipes.word_problems.variation import varied, with_number_words, with_other_people
from treestar.policy.formats import reply_parts, step_format_for
from treestar.sandbox import SandboxExecutor
from treestar.types import Execution

CLIPS = {
    "id": "clips",
    "question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How "
    "many clips did Natalia sell altogether in April and May?",
    "answer": "72",
    "solution": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
    "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.",
}
BOOKS = {
    "id": "books",
    "question": "If Bryan has 56 books in each of his 9 bookshelves, how many books does he have in total?",
    "answer": "504",
    "equation": "( 56.0 * 9.0 )",
}
SETS = Path(__file__).parents[3] / "shared" / "data" / "sets"


def clips() -> WordProblem:
    found = program_of_solution(CLIPS)
    assert found is not None
    return found


def test_annotations_become_steps_that_name_their_results() -> None:
    trajectory = trajectory_of(clips())
    assert trajectory is not None
    assert [step.text for step in trajectory.steps] == [
        "# Natalia sold clips in May\nclips_may = 48 / 2",
        "# Natalia sold clips altogether in April and May\nclips_april_may = 48 + clips_may\nprint(clips_april_may)",
        "The answer is \\boxed{72}.",
    ]
    assert [execution.output for execution in trajectory.executions] == ["", "72.0\n", ""]


@pytest.mark.parametrize(
    "solution",
    [
        "Natalia sold <<24=24>>24 clips in May.\nShe sold 48+24 = <<48+24=72>>72 clips in all.",
        "In May she sold 48/2 = <<48/2=24>>24 clips.\nShe sold 60+12 = <<60+12=72>>72 clips in all.",
    ],
    ids=["a number from nowhere", "a result that is not used"],
)
def test_a_solution_that_computes_something_in_its_head_is_not_taught(solution: str) -> None:
    assert program_of_solution({**CLIPS, "solution": solution}) is None


def test_a_step_imports_the_functions_that_it_calls() -> None:
    lines = (Line("the root", "root", "sqrt(144)"), Line("ways", "ways", "comb(5, 2) + root ** 2"))
    found = WordProblem("roots", "?", lines, "154", "test")
    trajectory = trajectory_of(found)
    assert trajectory is not None
    assert trajectory.steps[0].text == "# the root\nfrom math import sqrt\nroot = sqrt(144)"
    executions = asyncio.run(executed([step.code for step in trajectory.steps[:2]]))
    assert executions[-1].output == "154.0\n"


async def executed(steps: list[str]) -> list[Execution]:
    """What the search's own sandbox says to these steps."""
    executor = SandboxExecutor()
    try:
        interpreter = await executor.open()
        found: list[Execution] = []
        for step in steps:
            found.append(await interpreter.run(step, found[-1].snapshot if found else None))
        await interpreter.close()
        return found
    finally:
        await executor.close()


@pytest.mark.parametrize(
    ("expression", "reason"),
    [("sqrt(2)", "whole number"), ("gcd(4)(3)", "not plain"), ("open(1)", "not plain"), ("2 ** name", "not plain")],
)
def test_an_expression_without_an_exact_value_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        value_of(expression, {})


def test_an_equation_becomes_one_step() -> None:
    found = program_of_equation(BOOKS)
    assert found is not None
    [line] = found.lines
    assert (line.name, line.comment, line.expression) == ("books", "books in total", "56 * 9")


@pytest.mark.parametrize(
    "solution",
    [
        "He has <<48/2=25>>25 left.",  # a false annotation
        "He has <<48/2=24>>24 left.",  # right, but another number than the answer
        "He has 72 left.",
        "He has <<import os=72>>72.",
        "He has <<1/0=72>>72.",
    ],
)
def test_a_solution_that_does_not_follow_is_left_out(solution: str) -> None:
    assert program_of_solution({**CLIPS, "solution": solution}) is None


def test_a_false_equation_is_left_out() -> None:
    assert program_of_equation({**BOOKS, "equation": "( 56.0 + 9.0 )"}) is None
    assert program_of_equation({**BOOKS, "equation": "( 56.0 * "}) is None


def test_percentages_and_thousands_are_read() -> None:
    row = {"id": "", "question": "", "answer": "1200", "solution": "That is <<20%*6,000=1200>>1200 dollars."}
    found = program_of_solution(row)
    assert found is not None
    assert found.lines[0].expression == "(20 / 100) * 6000"


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_a_variation_changes_question_and_program_together(seed: int) -> None:
    random = Random(seed)
    found = varied(clips(), random, "v0")
    assert found is not None
    other = with_other_people(found, random)
    [number] = re.findall(r"\d+", other.question)
    assert number != "48"
    assert float(other.answer) == int(number) * 1.5
    assert trajectory_of(other) is not None
    assert "Natalia" not in other.question + "".join(line.comment for line in other.lines)
    assert other.question.split()[0] == other.lines[0].comment.split()[0]


def test_a_number_that_a_word_may_mean_is_left_alone() -> None:
    solution = "He walks 2*7 = <<2*7=14>>14 dogs."
    twice = program_of_solution(
        {
            "id": "",
            "question": "Tom has 2 sons and walks twice as many dogs as 7 cats.",
            "answer": "14",
            "solution": solution,
        }
    )
    assert twice is not None
    found = varied(twice, Random(0), "v0")
    assert found is not None
    assert found.question.startswith("Tom has 2 sons")
    assert found.lines[0].expression.startswith("2 * ")


def test_numbers_are_written_as_words_but_not_money_times_or_fractions() -> None:
    question = "8 friends buy 21 apples for $5 at 7 p.m. and use 3/4 cup of 120 grams, 2.5 bags and 12."
    found = with_number_words(WordProblem("one", question, (), "0", "test"))
    assert found.question == (
        "Eight friends buy twenty-one apples for $5 at 7 p.m. and use 3/4 cup of 120 grams, 2.5 bags and 12."
    )


def test_every_template_has_questions_that_its_program_answers() -> None:
    random = Random(0)
    for template in templates():
        found = next(each for _ in range(500) if (each := filled(template, random)) is not None)
        assert trajectory_of(found) is not None, found
        assert "{" not in found.question


def test_a_situation_can_be_asked_about_with_different_programs() -> None:
    random = Random(0)
    names = [ways[0].name for ways in situations()]
    assert len(set(names)) == len(names)
    for ways in situations():
        programs = []
        for way in ways:
            found = next(found for _ in range(300) if (found := filled(way, random)) is not None)
            assert trajectory_of(found) is not None, found
            assert not re.search(r"[{}\[\]|]", found.question), found.question
            programs.append(tuple(line[2] for line in way.lines))
        assert len(set(programs)) > 1 or len(ways) == 1, ways[0].name


def test_one_text_is_drawn_for_every_choice() -> None:
    drawn = {chosen("[a|b[c|d]] [|e]", Random(seed)) for seed in range(60)}
    assert drawn == {"a", "bc", "bd", "a e", "bc e", "bd e"}


def test_template_questions_are_different_and_follow_the_seed() -> None:
    one, same, other = (list(template_questions(seed, 300)) for seed in (1, 1, 2))
    assert one == same != other
    assert len({problem.question for problem in one}) == 300
    assert all(trajectory_of(problem) is not None for problem in one)
    assert sum(problem.source == "template/expression" for problem in one) > 30


def test_a_question_with_other_numbers_overlaps() -> None:
    question = "A farmer has 12 cows and buys 30 more of them at the market on Monday. How many cows has he got now?"
    overlaps = Overlaps([question, "Maria has 3 cats and 4 dogs. How many pets?"])
    assert question.replace("12", "17").replace("30", "1,250.5") in overlaps
    assert "So: maria has 5 cats and 9 dogs. How many pets? Think." in overlaps
    assert "A farmer has 12 cows and sells 3 of them. How many cows are left on his farm?" not in overlaps
    assert "What is 5% of 80?" not in Overlaps(["What is 7% of 90?"])  # too short to mean anything


def write_sets(folder: Path, rows: dict[str, list[dict[str, str]]]) -> None:
    for name in (*TEST_SETS, "gsm8k_train", "svamp_train", "math_train3k_solutions"):
        lines = "".join(json.dumps(row) + "\n" for row in rows.get(name, []))
        (folder / f"{name}.jsonl").write_text(lines)


def test_held_out_and_test_questions_are_not_taught(tmp_path: Path) -> None:
    many = [{**CLIPS, "id": f"clips-{number}", "question": f"{number} {CLIPS['question']}"} for number in range(30)]
    test = [{"question": "3 " + BOOKS["question"]}]
    write_sets(tmp_path, {"gsm8k_train": many, "svamp_train": [BOOKS], "svamp": test})  # type: ignore[dict-item]
    corpus = build_corpus(tmp_path, Mixture(templates=20, searched_templates=5), seed=0)
    taught = {problem.id for problem in corpus.taught}
    assert corpus.counts["overlapping a test question"] == {"gsm8k": 0, "svamp": 1}
    assert not any(name.startswith("books") for name in taught)
    for row in many:
        of_row = [name for name in taught if name == row["id"] or name.startswith(row["id"] + "-")]
        searched = [each for each in corpus.searched if each["id"] == row["id"]]
        assert bool(of_row) != bool(searched) == is_held_out(row["id"])
    assert sum(problem.source.startswith("template") for problem in corpus.taught) == 20
    assert build_corpus(tmp_path, Mixture(templates=20, searched_templates=5), seed=0) == corpus
    wanted = Mixture(templates=300, searched_templates=300)
    taught, searched = (
        {each if isinstance(each, str) else each.question for each in found}
        for found in (
            build_corpus(tmp_path, wanted, seed=1).taught,
            [row["question"] for row in build_corpus(tmp_path, wanted, seed=0).searched],
        )
    )
    assert len(taught & searched) < 20, "another stage teaches other questions than those that are searched"


@pytest.mark.skipif(not SETS.is_dir(), reason="the training sets are not beside this checkout")
def test_most_of_the_training_sets_convert() -> None:
    for name, convert, least in (("gsm8k", program_of_solution, 0.82), ("svamp", program_of_equation, 0.97)):
        with (SETS / f"{name}_train.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for _, line in zip(range(600), lines, strict=False)]
        found = [each for row in rows if (each := convert(row)) is not None]
        assert len(found) >= least * len(rows)
        trajectories = [trajectory_of(each) for each in found]
        assert all(trajectories)
        # A comment with a result in it would teach the policy to guess what Python computes.
        assert not any(re.search(r"\d", line.comment) for each in found for line in each.lines)


def test_the_taught_text_is_what_the_format_reads() -> None:
    from tests.support.tiny_model import tiny_model

    model, tokenizer = tiny_model()
    step_format = step_format_for(model.config, tokenizer, "rstar")
    trajectory = trajectory_of(clips())
    assert trajectory is not None
    parts = reply_parts(step_format, trajectory)
    assert [text for text, own in parts if not own] == ["\n", "\n<output>72.0<end_of_output>\n<answer>"]


def test_the_everyday_questions_are_not_taught(tmp_path: Path) -> None:
    """A template can ask one of them with other numbers; such a question is left out."""
    rows = [json.loads(line) for file in EVERYDAY for line in file.read_text(encoding="utf-8").splitlines()]
    assert len({row["question"] for row in rows}) == len(rows) == 300
    for name in ("gsm8k_train", "svamp_train", "math_train3k_solutions", *TEST_SETS):
        (tmp_path / f"{name}.jsonl").touch()
    corpus = build_corpus(tmp_path, Mixture(templates=3000, searched_templates=300), seed=0)
    overlaps = Overlaps(row["question"] for row in rows)
    asked = [problem.question for problem in corpus.taught] + [row["question"] for row in corpus.searched]
    assert 2900 < len(corpus.taught) < 3000
    assert not any(question in overlaps for question in asked)


def asked() -> list[dict[str, str]]:
    """The questions that are only searched."""
    files = sorted(EVERYDAY[0].with_name("asked").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_asked_questions_have_the_answers_that_their_checks_compute() -> None:
    rows = asked()
    assert len({row["id"] for row in rows}) == len({row["question"] for row in rows}) == len(rows) > 1000
    for row in rows:
        answer = value_of(row["answer"], {})
        assert abs(value_of(row["check"], {}) - answer) <= abs(answer) / 10**6, row


def test_the_asked_questions_are_not_those_to_measure_with() -> None:
    rows = [json.loads(line) for file in EVERYDAY for line in file.read_text(encoding="utf-8").splitlines()]
    assert not {row["question"] for row in rows} & {row["question"] for row in asked()}
    overlaps = Overlaps(row["question"] for row in rows)
    assert [row["question"] for row in asked() if row["question"] in overlaps] == []


@pytest.mark.skipif(not SETS.is_dir(), reason="the test sets are not beside this checkout")
def test_the_asked_questions_are_in_no_test_set() -> None:
    tested = [
        json.loads(line)["question"]
        for name in TEST_SETS
        for line in (SETS / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
        if line
    ]
    overlaps = Overlaps(tested)
    assert [row["question"] for row in asked() if row["question"] in overlaps] == []


def test_number_words_do_not_hide_a_question_from_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gsm8k_train", "svamp_train", "math_train3k_solutions", *TEST_SETS):
        (tmp_path / f"{name}.jsonl").touch()
    taught = []
    for share in (0.0, 1.0):
        monkeypatch.setattr("recipes.word_problems.corpus.NUMBER_WORDS_SHARE", share)
        corpus = build_corpus(tmp_path, Mixture(templates=3000, searched_templates=10), seed=0)
        taught.append({problem.id for problem in corpus.taught})
    assert taught[0] == taught[1]
