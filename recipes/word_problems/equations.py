"""Programs from SVAMP's training set, whose questions carry an infix equation: `( ( 3.0 + 4.0 ) * 2.0 )`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from recipes.word_problems.program import Line, WordProblem, named, value_of, words_of

__all__ = ["program_of_equation"]

ASKED = re.compile(r"(?:how many|how much|what is|what was|what will|find)\b([^.?]*)[.?]?\s*$", re.IGNORECASE)


def program_of_equation(row: Mapping[str, Any]) -> WordProblem | None:
    """The program of one line in an equation; None where the equation does not give the answer.

    Args:
        row: `id`, `question`, `answer` and `equation`.
    """
    try:
        expression = ast.unparse(ast.parse(without_point_zero(row["equation"]).strip(), mode="eval"))
        value = value_of(expression, {})
        if value != value_of(row["answer"].replace(",", ""), {}):
            return None
    except (SyntaxError, ValueError):
        return None
    asked = ASKED.search(row["question"])
    clause = asked[1].strip() if asked else ""
    name = named([words_of(clause), words_of(row["question"])[-2:]], ())
    comment = comment_of(clause) or name.replace("_", " ")
    return WordProblem(row["id"], row["question"], (Line(comment, name, expression),), row["answer"], "svamp_train")


def without_point_zero(equation: str) -> str:
    return re.sub(r"(\d+)\.0\b", r"\1", equation)


def comment_of(clause: str) -> str:
    """What is asked for, without the verb that asks: "books in total" for "books does he have in total"."""
    text = re.sub(r"\b(?:does|do|did|is|are|was|were|will|would|has|have|had|there|he|she|they|it|be)\b", " ", clause)
    return " ".join(re.sub(r"[\d$,]+", " ", text).split()[:12])
