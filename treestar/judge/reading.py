"""What a judge reads of a solution: the question, and its steps as prose. Training and use read the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from treestar.policy.formats import StepFormat
from treestar.ppm.public.texts import step_texts, without_marks
from treestar.types import State

__all__ = ["question_and_chunks"]

CHUNK_TAG = re.compile(r"</?chunk>")


def question_and_chunks(state: State, own: StepFormat, foreign: Sequence[str]) -> tuple[str, list[str]]:
    """The question and the chunks of a solution, without the tags around chunks; blank chunks are left out.

    Args:
        own: the step format of the judge's model, which can read questions in a way of its own.
        foreign: `special_texts` of its tokenizer, which no solution may contain as they are.
    """
    chunks = (CHUNK_TAG.sub("", text).strip() for text in step_texts(state))
    question = without_marks(own.question(state.problem), foreign)
    return question, [without_marks(chunk, foreign) for chunk in chunks if chunk]
