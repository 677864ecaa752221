"""Rows of data sets on the Hugging Face hub that are not mathematics: questions about facts with their paragraphs, and
rows with the fields of a line of JSON Lines.

HotpotQA    `context` with lists of `title` and `sentences`, and `supporting_facts` with a list of `title`
MuSiQue     `paragraphs`, each with `title`, `paragraph_text` and `is_supporting`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treestar.verifier.programs.tests import are_tests

__all__ = ["fields_of_line"]


def fields_of_line(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields that a line would have; None for a row that is not such a question and has no tests of its own."""
    fields = {name: value for name, value in row.items() if value is not None}
    if not isinstance(fields.get("question"), str):
        return None
    paragraphs = paragraphs_of_row(fields)
    if paragraphs is not None:
        return {**fields, "paragraphs": paragraphs}
    return fields if fields.get("kind") == "qa" or are_tests(fields.get("tests")) else None


def paragraphs_of_row(row: Mapping[str, Any]) -> list[Any] | None:
    """The paragraphs that come with a question, as a line has them; None if there are none."""
    context, given = row.get("context"), row.get("paragraphs")
    if isinstance(given, list):
        return [from_musique(each) for each in given]
    if not isinstance(context, Mapping) or not {"title", "sentences"} <= context.keys():
        return None
    facts = row.get("supporting_facts")
    supporting: Sequence[Any] = facts.get("title") or [] if isinstance(facts, Mapping) else []
    return [
        {"title": title, "sentences": sentences, "supporting": title in supporting}
        for title, sentences in zip(context["title"], context["sentences"], strict=True)
    ]


def from_musique(paragraph: Any) -> Any:
    """A paragraph with the names of a line's fields; any other unchanged."""
    if not isinstance(paragraph, Mapping) or "paragraph_text" not in paragraph:
        return paragraph
    supporting = bool(paragraph.get("is_supporting"))
    return {"title": paragraph.get("title"), "text": paragraph["paragraph_text"], "supporting": supporting}
