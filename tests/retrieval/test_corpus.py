"""Corpora: what is read, and what is said about what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.questions import QUESTIONS

from treestar.retrieval import Paragraph, paragraphs_of, pooled_paragraphs, read_corpus, supporting_paragraphs
from treestar.types import Problem, TreestarError


def test_json_lines_and_parquet_hold_the_same_paragraphs(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    paragraphs = [Paragraph("A", "one\u2028two"), Paragraph("B", "three")]
    lines, parquet = tmp_path / "c.jsonl", tmp_path / "c.parquet"
    lines.write_text("".join(json.dumps(each._asdict()) + "\n" for each in paragraphs), encoding="utf-8")
    write_table(pyarrow.Table.from_pylist([each._asdict() for each in paragraphs]), parquet)
    assert list(read_corpus(lines)) == list(read_corpus(parquet)) == paragraphs


def test_sentences_are_joined(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text('{"title": "A", "sentences": ["One.", " Two. "]}\n')
    assert list(read_corpus(file)) == [Paragraph("A", "One. Two.")]
    import pyarrow
    from pyarrow.parquet import write_table

    parquet = tmp_path / "c.parquet"
    write_table(pyarrow.Table.from_pylist([{"title": "A", "sentences": ["One.", " Two. "]}]), parquet)
    assert list(read_corpus(parquet)) == [Paragraph("A", "One. Two.")]


def test_the_last_line_need_not_end_and_empty_lines_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text('{"title": "A", "text": "a"}\n\n{"title": "B", "text": "b"}')
    assert list(read_corpus(file)) == [Paragraph("A", "a"), Paragraph("B", "b")]


def test_a_question_with_a_paragraph_of_another_layout_is_named() -> None:
    problem = Problem("Who?", "Ada", "q7", kind="qa", metadata={"paragraphs": [["A", ["a."]]]})
    with pytest.raises(TreestarError, match="a paragraph of question 'q7' is not an object with a `title`"):
        paragraphs_of(problem)


@pytest.mark.parametrize(("line", "reason"), [("{", "not JSON"), ('{"title": "A"}', "`text`"), ("[]", "`title`")])
def test_a_bad_row_is_named(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text('{"title": "A", "text": "a"}\n' + line + "\n")
    with pytest.raises(TreestarError, match=f"row 2: .*{reason}"):
        list(read_corpus(file))


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match="cannot be read: No such file"):
        list(read_corpus(tmp_path / "none.jsonl"))


def test_the_pool_has_the_paragraphs_of_all_questions_once() -> None:
    pool = pooled_paragraphs([*QUESTIONS, QUESTIONS[0]])
    assert len(pool) == len(set(pool)) == 8
    assert [each.title for each in supporting_paragraphs(QUESTIONS[0])] == ["Ada Kolb", "Telmar"]
    assert set(paragraphs_of(QUESTIONS[0])) < set(pool)
