"""Benchmark problems by name: common test sets, reasoning-gym families, and your own files.

    gsm8k, math500, ...     a named set: its JSON Lines file in a data folder, otherwise from the Hugging Face hub
    rg:FAMILY[:LEVEL]       reasoning-gym problems of the test split; by default of every level
    jsonl:PATH              a file of JSON Lines, of one array or of a table, also compressed with gzip: `question`,
                            `answer` (a text, a number, or a list of these), and optionally `id`, `level`, `subject`,
                            or the fields of sets on the hub; with `choices`, a question that lists them and is answered
                            by a letter (`choices`); with `tests` instead of `answer`, a problem that asks for
                            a program (`verifier/programs/tests.py`), and with `paragraphs` (each a `title` and a
                            `text`, and whether it is `supporting`), a question about facts
    hf:NAME[:CONFIG][@SPLIT]  a data set on the hub, or a folder in its layout; the default split is `test`

Every named set has a count, and a different number of problems is an error: otherwise an accuracy on half of a test
set, or on another version, would go unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any, Literal

from treestar.benchmarks.choices import with_choices_shown
from treestar.benchmarks.gym import make_problems
from treestar.benchmarks.gym_levels import LEVELS
from treestar.benchmarks.hub_questions import fields_of_line
from treestar.config.names import unknown_name
from treestar.extras import needs_extra
from treestar.storage.lines import read_rows
from treestar.types import Problem, TreestarError, first_line
from treestar.verifier import extract_answer
from treestar.verifier.extraction.replies import states_answer
from treestar.verifier.programs.tests import are_tests, called_function, public_tests_of, tests_of

__all__ = [
    "NAMED_SETS",
    "NamedSet",
    "ProblemSet",
    "hub_rows",
    "load_problems",
    "problem_from_line",
    "read_jsonl",
    "read_set",
]

GYM_PROBLEMS = 100
"""Number of problems per reasoning-gym level if there is no limit."""
GYM_SEED = 4
"""Set number for reasoning-gym. Test questions are kept out of training by the split, not by this seed."""

FIELDS = {"id", "question", "answer"}

QUESTION_NAMES = ("question", "problem", "prompt", "Question", "Problem", "Prompt", "text")
ANSWER_NAMES = ("answer", "Answer", "final_answer")
SOLUTION_NAMES = ("solution", "Solution")
"""What data sets call a question, its gold answer, and a solution that states the answer."""


@dataclass(frozen=True)
class NamedSet:
    """The source of a test set, and its number of problems."""

    file: str
    """Its file in the data folder, one JSON object per line with `id`, `question` and `answer`."""
    count: int
    """Number of problems in that file."""
    hub: str
    """Its repository on the Hugging Face hub; "" if it can only be read from its file."""
    split: str = "test"
    config: str | None = None
    hub_count: int | None = None
    """Number of problems on the hub, if different."""
    kind: Literal["math", "qa"] = "math"


NAMED_SETS: Mapping[str, NamedSet] = {
    "gsm8k": NamedSet("gsm8k_test.jsonl", 1319, "openai/gsm8k", config="main"),
    "math500": NamedSet("math500.jsonl", 500, "HuggingFaceH4/MATH-500"),
    "math": NamedSet("math_test.jsonl", 5000, "DigitalLearningGmbH/MATH-lighteval"),
    "aime24": NamedSet("aime2024.jsonl", 30, "HuggingFaceH4/aime_2024", "train"),
    "aime25": NamedSet("aime2025.jsonl", 30, "math-ai/aime25"),
    "amc23": NamedSet("amc23.jsonl", 40, "math-ai/amc23"),
    "olympiadbench": NamedSet(
        "olympiadbench.jsonl", 675, "Hothan/OlympiadBench", "train", "OE_TO_maths_en_COMP", hub_count=674
    ),
    "collegemath": NamedSet("collegemath.jsonl", 2818, "di-zhang-fdu/College_Math_Test"),
    "gaokao2023en": NamedSet("gaokao2023en.jsonl", 385, "MARIO-Math-Reasoning/Gaokao2023-Math-En", "train"),
    "omni-math": NamedSet("omni_math.jsonl", 4428, "KbsdJames/Omni-MATH"),
    "minerva": NamedSet("minerva_math.jsonl", 272, "math-ai/minervamath"),
    "svamp": NamedSet("svamp.jsonl", 1000, "ChilleD/SVAMP", "train+test"),
    "humaneval": NamedSet("humaneval.jsonl", 164, "openai/openai_humaneval"),
    "hotpotqa": NamedSet("hotpotqa_200.jsonl", 200, "", kind="qa"),
    "2wikimultihopqa": NamedSet("2wikimultihopqa_200.jsonl", 200, "", kind="qa"),
    "musique": NamedSet("musique_200.jsonl", 200, "", kind="qa"),
}
"""The names of the hub's repositories come from their pages and from other loaders; only the files were counted."""


@dataclass(frozen=True)
class ProblemSet:
    """The problems of one data set in a run."""

    name: str
    problems: tuple[Problem, ...]
    """Those within the limit that have a gold answer."""
    original: int
    """Number of problems in the whole set."""
    without_answer: int
    """Number of problems within the limit that were left out because they have no gold answer."""


def load_problems(name: str, data_dir: Path | None = None, limit: int | None = None) -> ProblemSet:
    """The problems of the data set `name` (see this module).

    Args:
        data_dir: a folder with the files of the named sets; None loads them from the hub.
        limit: only the first problems, at most this many; a reasoning-gym family's levels share it evenly.

    Raises:
        TreestarError: the set does not exist or cannot be loaded, a line is not a problem, the count is wrong, or no
            problem has a gold answer or tests.
    """
    kind, _, rest = name.partition(":")
    found = gym_problems(rest, limit) if kind == "rg" else read_set(name, data_dir)
    original = len(found)
    found = found[:limit]
    answered = tuple(problem for problem in found if problem.answer or problem.kind == "code")
    if not answered:
        raise TreestarError(f"data set {name!r} has no problem with a gold answer, so it cannot be used")
    return ProblemSet(name, answered, original, len(found) - len(answered))


def read_set(name: str, data_dir: Path | None = None) -> list[Problem]:
    """All problems of a file or a set that is not of reasoning-gym; as `load_problems`."""
    kind, _, rest = name.partition(":")
    if kind == "jsonl":
        return read_jsonl(Path(rest).expanduser())
    if kind == "hf":
        path, _, split = rest.partition("@")
        repository, _, config = path.partition(":")
        return from_hub(repository, config or None, split or "test")
    named = NAMED_SETS.get(name)
    if named is None:
        raise TreestarError(
            f"{unknown_name('data set', name, NAMED_SETS)}, or rg:FAMILY[:LEVEL], jsonl:PATH, hf:NAME[:CONFIG][@SPLIT]"
        )
    if data_dir is not None:
        file = data_dir / named.file
        problems, place, expected = read_jsonl(file, named.kind), str(file), named.count
    elif not named.hub:
        raise TreestarError(f"{name} is read from {named.file}: give its folder with --data-dir, or jsonl:PATH")
    else:
        problems, place = from_hub(named.hub, named.config, named.split), f"{named.hub} on the hub"
        expected = named.hub_count or named.count
    if len(problems) != expected:
        raise TreestarError(
            f"{name} has {expected:,} problems, but {place} has {len(problems):,}: it is another version or only a "
            "part (to use it anyway, give it as jsonl:PATH or hf:NAME)"
        )
    return problems


def gym_problems(cell: str, limit: int | None) -> list[Problem]:
    """Problems of the cell FAMILY or FAMILY:LEVEL, level by level."""
    family, _, level = cell.partition(":")
    levels = LEVELS.get(family)
    if levels is None or (level and level not in levels):
        known = ", ".join(f"{each} ({', '.join(LEVELS[each])})" for each in LEVELS)
        raise TreestarError(f"unknown reasoning-gym cell {cell!r}; the families and levels are {known}")
    wanted = [level] if level else list(levels)
    total = GYM_PROBLEMS * len(wanted) if limit is None else limit
    shares = [total // len(wanted) + (place < total % len(wanted)) for place in range(len(wanted))]
    try:
        return [
            problem
            for each, share in zip(wanted, shares, strict=True)
            for problem in make_problems(family, each, "test", share, seed=GYM_SEED)
        ]
    except ValueError as error:
        raise TreestarError(f"data set rg:{cell}: {error}") from error


def read_jsonl(path: Path, kind: Literal["math", "qa"] = "math") -> list[Problem]:
    """The problems in a file of JSON Lines, one array or a table; `kind` is that of problems that do not show theirs.

    Raises TreestarError if it cannot be read or one of its values is not a problem.
    """
    problems = []
    for row in read_rows(path):
        try:
            problems.append(problem_from_line(row.text, row.number, kind))
        except ValueError as error:
            raise TreestarError(f"{path}, {row.where}: {error}") from error
    return problems


def problem_from_line(line: str, number: int, kind: Literal["math", "qa"] = "math") -> Problem:
    """The problem in one line; its id defaults to `number`. Raises ValueError with the reason."""
    try:
        data = json.loads(line)
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from error
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    except UnicodeEncodeError as error:  # no tokenizer reads it, and no file can hold it
        raise ValueError("half a character: an escape such as \\ud83d without its other half") from error
    if not isinstance(data, dict):
        raise ValueError("not an object with a `question`")
    data = with_choices_shown(data, QUESTION_NAMES)
    if isinstance(data.get("question"), str):
        return problem_from_fields(data, number, kind)
    return problem_from_row(data, number)


def problem_from_fields(data: Mapping[str, Any], number: int, kind: Literal["math", "qa"] = "math") -> Problem:
    """The problem with these fields, which are those of a line. Raises ValueError with the reason."""
    tests, answer, solution = data.get("tests"), first(data, ANSWER_NAMES), first(data, SOLUTION_NAMES)
    if kind == "qa" or data.get("kind") == "qa" or isinstance(data.get("paragraphs"), list):
        return question_from_line(data, number)
    is_code = are_tests(tests) or (isinstance(tests, str) and isinstance(data.get("entry_point"), str))
    if answer is None and is_code:
        answer = ""  # its tests say what is right
    if not (is_code and isinstance(answer, str)):
        answer = gold_answer(answer, solution if isinstance(solution, str) else None) or None
    problem = Problem(
        question=data["question"],
        answer=answer,
        id=id_of(data, number),
        kind="code" if is_code else "math",
        metadata={name: value for name, value in data.items() if name not in FIELDS},
    )
    if is_code:
        check_tests(problem)
    return problem


def check_tests(problem: Problem) -> None:
    """Raises ValueError if a program cannot be tested: better here than after it was searched for."""
    try:
        tests_of(problem)
        if problem.metadata.get("public_tests"):
            public_tests_of(problem)
    except TreestarError as error:
        raise ValueError(str(error)) from error


def question_from_line(data: Mapping[str, Any], number: int) -> Problem:
    """A question about facts. Several answers in a list are aliases of each other. Raises ValueError."""
    metadata = {name: value for name, value in data.items() if name not in FIELDS}
    answers = gold_phrases(data.get("answer"))
    if len(answers) > 1 or "answer_aliases" in data:
        metadata["answer_aliases"] = [*answers[1:], *gold_phrases(data.get("answer_aliases"))]
    return Problem(data["question"], answers[0] if answers else None, id_of(data, number), "qa", metadata)


def gold_phrases(given: Any) -> list[str]:
    """The answers in a field: one, or several in a list; what is missing is left out. Raises ValueError."""
    phrases = [
        ("yes" if each else "no") if isinstance(each, bool) else gold_answer(each, None)
        for each in (given if isinstance(given, list) else [given])
    ]
    return [each for each in phrases if each]


def id_of(data: Mapping[str, Any], number: int) -> str:
    """The `id` of a line as text; `number` where it is missing or null."""
    return str(number if data.get("id") is None else data["id"])


def from_hub(repository: str, config: str | None, split: str) -> list[Problem]:
    return [problem_from_hub(row, repository, number) for number, row in enumerate(hub_rows(repository, config, split))]


def hub_rows(repository: str, config: str | None, split: str) -> Iterable[Mapping[str, Any]]:
    """The rows of a data set on the Hugging Face hub, or of a folder in the hub's layout.

    Raises:
        TreestarError: the library is not installed, or the set cannot be loaded.
    """
    try:
        import datasets
    except ImportError as error:
        raise needs_extra(f"data set {repository!r} of the Hugging Face hub (or else --data-dir)", "bench") from error
    datasets.disable_progress_bars()
    try:
        rows: Iterable[Mapping[str, Any]] = datasets.load_dataset(repository, config, split=split)
    except Exception as error:  # the hub client, pyarrow and fsspec raise exceptions of any kind
        raise TreestarError(
            f"data set {repository!r} cannot be loaded: {first_line(error)} (without a network, give the set's JSON "
            "Lines file as jsonl:PATH, its folder with --data-dir where the command has that, or a folder in the hub's "
            "layout as hf:./FOLDER)"
        ) from error
    return rows


def problem_from_hub(row: Mapping[str, Any], repository: str, number: int) -> Problem:
    """One row of a hub data set as a problem. Raises TreestarError."""
    try:
        row = with_choices_shown(row, QUESTION_NAMES)
        fields = fields_of_line(row)
        return problem_from_row(row, number) if fields is None else problem_from_fields(fields, number)
    except ValueError as error:
        raise TreestarError(f"data set {repository!r}, row {number}: {error}") from error


def problem_from_row(row: Mapping[str, Any], number: int) -> Problem:
    """A problem whose fields have any of the names that data sets on the hub give them. Raises ValueError with the
    reason."""
    question = first(row, QUESTION_NAMES)
    if not isinstance(question, str):
        raise ValueError(f"no text `question`, `problem` or `prompt` among its fields ({', '.join(map(str, row))})")
    if isinstance(row.get("Body"), str):  # SVAMP stores the story separately from the question
        question = f"{row['Body'].rstrip(' .')}. {question}"
    metadata = {"subject": first(row, ("subject", "type", "domain")), "level": first(row, ("level", "difficulty"))}
    if isinstance(metadata["level"], str):
        metadata["level"] = metadata["level"].removeprefix("Level ")
    if isinstance(metadata["subject"], list):
        metadata["subject"] = ", ".join(map(str, metadata["subject"]))
    asserts = [each for each in row.get("test_list") or () if isinstance(each, str)]
    if "entry_point" in row:
        metadata |= {"entry_point": row["entry_point"], "tests": first(row, ("tests", "test"))}
    elif asserts:
        question = f"{question.strip()}\nYour code should pass these tests:\n\n{chr(10).join(asserts)}\n"
        metadata |= {"entry_point": called_function(asserts), "tests": with_setup(row, asserts)}
    kind: Literal["math", "code"] = "code" if metadata.get("tests") is not None else "math"
    answer = gold_answer(first(row, (*ANSWER_NAMES, "canonical_solution", "code")), first(row, SOLUTION_NAMES))
    name = first(row, ("id", "unique_id", "task_id", "ID", "Id"))
    problem = Problem(
        question=question,
        answer="" if answer is None and kind == "code" else answer,  # its tests say what is right
        id=str(number if name is None else name),
        kind=kind,
        metadata={name: value for name, value in metadata.items() if value is not None},
    )
    if kind == "code":
        check_tests(problem)
    return problem


def first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The value of the first of these fields that says something; None if there is none."""
    return next((row[name] for name in names if not is_missing(row.get(name))), None)


def with_setup(row: Mapping[str, Any], asserts: Sequence[str]) -> list[str]:
    """MBPP's assert statements, after the code that they need."""
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or ())
    return [*([setup] if setup else []), *asserts]


def gold_answer(answer: Any, solution: Any) -> str | None:
    """The gold answer: the joined parts of a list, the text after GSM8K's `####`, or the answer that a solution states.

    Raises ValueError if it is neither a text, a number nor a list of these, or the solution is not a text.
    """
    if is_missing(answer):
        if not is_missing(solution) and not isinstance(solution, str):
            raise ValueError(f"there is no `answer`, and `solution` must be a text, not {type(solution).__name__}")
        return extract_answer(solution) if not is_missing(solution) and states_answer(solution) else None
    if isinstance(answer, list | tuple):
        if not answer or not all(isinstance(part, str | int | float) for part in answer):
            raise ValueError("a list as `answer` must have texts or numbers, and at least one")
        return ", ".join(map(str, answer))
    if not isinstance(answer, str | int | float | Decimal):
        raise ValueError(f"`answer` must be a text, a number or a list of these, not {type(answer).__name__}")
    text = str(answer)
    return text.split("####")[-1].strip().replace(",", "") if "####" in text else text


def is_missing(value: Any) -> bool:
    """Whether a field says nothing: null, a blank text, or the NaN by which tables mark missing numbers."""
    return (
        value is None or (isinstance(value, float) and isnan(value)) or (isinstance(value, str) and not value.strip())
    )
