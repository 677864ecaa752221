"""Titled paragraphs: read from a file, taken from the questions of a data set, and shown to a policy.

A corpus file is JSON Lines or Parquet with the fields `title` and `text`; `sentences` (a list, which is joined) may
stand instead of `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from treestar.storage.table import shard_rows
from treestar.types import Problem, TreestarError

__all__ = [
    "TITLE",
    "Paragraph",
    "distinct",
    "paragraphs_of",
    "pooled_paragraphs",
    "read_corpus",
    "shown",
    "supporting_paragraphs",
]


TITLE = "Title: "
"""What a paragraph begins with as a policy reads it."""


LAYOUTS = {"text": None, "sentences": None}
"""A row of a corpus has one of these."""


class Paragraph(NamedTuple):
    """A paragraph of a corpus."""

    title: str
    text: str


def shown(paragraph: Paragraph) -> str:
    """A paragraph as a policy reads it."""
    return f"{TITLE}{paragraph.title}\n{paragraph.text}"


def read_corpus(path: Path) -> Iterator[Paragraph]:
    """The paragraphs in a file, one by one.

    Raises:
        TreestarError: the file cannot be read, or a row is not a titled paragraph.
    """
    rows = parquet_rows(path) if path.suffix == ".parquet" else json_rows(path)
    try:
        for number, row in rows:
            try:
                yield paragraph_from_json(row)
            except ValueError as error:
                raise TreestarError(f"{path}, row {number}: {error}") from error
    except OSError as error:
        raise TreestarError(f"corpus {path} cannot be read: {error.strerror or error}") from error


def json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    yield number, json.loads(line)
            except ValueError as error:
                raise TreestarError(f"{path}, row {number}: not JSON ({error})") from error


def parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(shard_rows(path, ["title", *LAYOUTS], LAYOUTS), start=1)
    except ValueError as error:
        raise TreestarError(f"corpus {path} cannot be read: {error}") from error


def paragraph_from_json(row: Any) -> Paragraph:
    """The paragraph in an object with `title` and `text` or `sentences`. Raises ValueError."""
    if not isinstance(row, Mapping):
        raise ValueError("not an object with a `title` and a `text`")
    text = row.get("text")
    sentences = row.get("sentences")
    if text is None and isinstance(sentences, list) and all(isinstance(each, str) for each in sentences):
        text = " ".join(sentence.strip() for sentence in sentences)
    if not isinstance(row.get("title"), str) or not isinstance(text, str):
        raise ValueError("not an object with a `title` and a `text`")
    return Paragraph(row["title"], text.strip())


def distinct(paragraphs: Iterable[Paragraph]) -> list[Paragraph]:
    """The paragraphs without repetitions, in order of first appearance."""
    return list(dict.fromkeys(paragraphs))


def paragraphs_of(problem: Problem) -> list[Paragraph]:
    """The paragraphs that come with a question, supporting ones among others (the distractor setting).

    Raises:
        TreestarError: one of them is not a titled paragraph.
    """
    try:
        return distinct(paragraph_from_json(row) for row in problem.metadata.get("paragraphs") or ())
    except ValueError as error:
        raise TreestarError(f"a paragraph of question {problem.id!r} is {error}") from error


def supporting_paragraphs(problem: Problem) -> list[Paragraph]:
    """The paragraphs of a question that its answer rests on."""
    rows = problem.metadata.get("paragraphs")
    given = rows if isinstance(rows, list) else []
    return distinct(paragraph_from_json(row) for row in given if isinstance(row, Mapping) and row.get("supporting"))


def pooled_paragraphs(problems: Iterable[Problem]) -> list[Paragraph]:
    """One corpus of the paragraphs of all questions (the pooled setting)."""
    return distinct(paragraph for problem in problems for paragraph in paragraphs_of(problem))
