"""The questions that the policy is taught, and those that are held out for the searches of self-evolution.

A third of the training questions of GSM8K and SVAMP is held out, with all its variations: trees and preference pairs
then come from questions that the policy was not taught. Whatever overlaps a test question is left out of both.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from recipes.word_problems.annotated import program_of_solution
from recipes.word_problems.equations import program_of_equation
from recipes.word_problems.overlap import TEST_SETS, Overlaps
from recipes.word_problems.program import WordProblem
from recipes.word_problems.templates import template_questions
from recipes.word_problems.variation import varied, with_number_words, with_other_people

__all__ = ["Corpus", "Mixture", "build_corpus", "is_held_out", "write_held_out"]

EVERYDAY = [
    Path(__file__).with_name(name) for name in ("everyday.jsonl", "everyday_check.jsonl", "everyday_fresh.jsonl")
]

HELD_OUT_SHARE = 3
"""One in this many."""

SEARCHED = 10**6
"""Added to the seed of the templates to search, so that no training with another seed teaches the same questions."""

NUMBER_WORDS_SHARE = 0.12
"""Of the taught questions this share has its numbers as words where that can be."""

SEARCHED_LEVELS = ("1", "2")
"""Of MATH's training problems, for the searches only: their solutions carry no programs."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How many questions of each kind are taught."""

    templates: int = 6_500
    """From templates."""
    svamp_variations: int = 1
    """Of every taught question of SVAMP's training set: copies with other numbers and people."""
    gsm8k_variations: int = 0
    """The same for GSM8K."""
    gsm8k_lines: int | None = 3
    """Only questions of GSM8K with at most this many lines; None for all."""
    searched_templates: int = 2_000
    """From templates, for the searches."""


@dataclass(frozen=True)
class Corpus:
    """Questions to teach, questions to search, and what was left out."""

    taught: tuple[WordProblem, ...]
    searched: tuple[dict[str, Any], ...]
    """Lines of the held-out file: `id`, `question`, `answer`, `source`."""
    counts: dict[str, Any]


def build_corpus(data: Path, mixture: Mixture, seed: int) -> Corpus:
    """Everything, in a random order.

    Args:
        data: a folder with gsm8k_train.jsonl, svamp_train.jsonl, math_train3k_solutions.jsonl and the test sets.

    Raises:
        OSError: a file is missing.
    """
    random = Random(seed)
    overlaps = Overlaps(test_questions(data))
    found = {
        "gsm8k": converted(data / "gsm8k_train.jsonl", program_of_solution),
        "svamp": converted(data / "svamp_train.jsonl", program_of_equation),
    }
    counts: dict[str, Any] = {"converted": {name: len(problems) for name, problems in found.items()}}
    clean = {name: [each for each in problems if each.question not in overlaps] for name, problems in found.items()}
    counts["overlapping a test question"] = {name: len(found[name]) - len(clean[name]) for name in found}
    kept = {name: [each for each in problems if not is_held_out(each.id)] for name, problems in clean.items()}
    if mixture.gsm8k_lines is not None:
        kept["gsm8k"] = [each for each in kept["gsm8k"] if len(each.lines) <= mixture.gsm8k_lines]
    taught = [*kept["gsm8k"], *variations(kept["gsm8k"], mixture.gsm8k_variations, random)]
    taught += [*kept["svamp"], *variations(kept["svamp"], mixture.svamp_variations, random)]
    taught += template_questions(seed, mixture.templates)
    # Overlaps are found first: the check leaves out numbers, but not their words.
    taught = [each for each in taught if each.question not in overlaps]
    taught_questions = {each.question for each in taught}
    taught = [with_number_words(each) if random.random() < NUMBER_WORDS_SHARE else each for each in taught]
    random.shuffle(taught)
    searched = [each for problems in clean.values() for each in problems if is_held_out(each.id)]
    searched += [*variations(searched, 1, random), *template_questions(SEARCHED + seed, mixture.searched_templates)]
    searched = [each for each in searched if each.question not in taught_questions]
    rows = [row_of(each) for each in searched if each.question not in overlaps]
    rows += [row for row in math_problems(data) if row["question"] not in overlaps]
    random.shuffle(rows)
    counts["taught"] = dict(Counter(each.source.partition("/")[0] for each in taught))
    counts["searched"] = dict(Counter(row["source"].partition("/")[0] for row in rows))
    counts["mixture"] = asdict(mixture)
    return Corpus(tuple(taught), tuple(rows), counts)


def is_held_out(name: str) -> bool:
    """Whether the training question with this id is kept for the searches."""
    return crc32(name.encode()) % HELD_OUT_SHARE == 0


def variations(problems: Iterable[WordProblem], count: int, random: Random) -> Iterator[WordProblem]:
    """Up to `count` copies of each question with other numbers and other people."""
    for problem in problems:
        for copy in range(count):
            found = varied(problem, random, f"v{copy}")
            if found is not None:
                yield with_other_people(replace(found, source=f"{problem.source}/varied"), random)


def test_questions(data: Path) -> Iterator[str]:
    """All questions of the sets that the model is measured on, and the everyday ones; of ASDiv those outside ASDiv-A,
    as it is measured."""
    for file in EVERYDAY:
        yield from (row["question"] for row in rows_of(file))
    for name in TEST_SETS:
        for row in rows_of(data / f"{name}.jsonl"):
            if not row.get("asdiv_a"):
                yield row["question"]


def converted(file: Path, convert: Any) -> list[WordProblem]:
    return [found for row in rows_of(file) if (found := convert(row)) is not None]


def math_problems(data: Path) -> Iterator[dict[str, Any]]:
    """MATH's easy training problems that Asymptote drawings are not a part of."""
    for row in rows_of(data / "math_train3k_solutions.jsonl"):
        if str(row.get("level")) in SEARCHED_LEVELS and "[asy]" not in row["question"]:
            yield {name: row[name] for name in ("id", "question", "answer")} | {"source": "math"}


def row_of(problem: WordProblem) -> dict[str, Any]:
    return {"id": problem.id, "question": problem.question, "answer": problem.answer, "source": problem.source}


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write_held_out(rows: Iterable[dict[str, Any]], folder: Path) -> None:
    """Write the questions to search as files that `treestar evolve` and `treestar bench` read, one for each source."""
    folder.mkdir(parents=True, exist_ok=True)
    by_source: dict[str, list[str]] = {}
    for row in rows:
        by_source.setdefault(row["source"].partition("/")[0], []).append(json.dumps(row, ensure_ascii=False) + "\n")
    for source, lines in by_source.items():
        (folder / f"{source}.jsonl").write_text("".join(lines), encoding="utf-8")
