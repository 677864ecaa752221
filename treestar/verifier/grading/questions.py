"""Answers to questions about facts (`kind="qa"`): names, dates, yes or no, compared as SQuAD's evaluation script does.

    EM    the answers are equal after `normalized_answer` (Rajpurkar et al. 2016; HotpotQA and MuSiQue use the same)
    F1    harmonic mean of precision and recall of the words, where `yes`, `no` and `noanswer` only equal themselves
          (HotpotQA's script)
    Acc   the gold answer's words stand in the answer, one after another (StepER, arXiv 2510.07923)

A question may have several gold answers (`answer_aliases` in its metadata); the best of them counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable

from treestar.types import Problem
from treestar.verifier.extraction.phrases import last_match

__all__ = [
    "ANSWER_MARK",
    "QuestionVerifier",
    "answer_f1",
    "best_over_golds",
    "contains_answer",
    "exactly_matches",
    "gold_answers",
    "normalized_answer",
    "stated_question_answer",
]

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
VERDICTS = frozenset({"yes", "no", "noanswer"})

ANSWER_MARK = re.compile(r"answer is(?::[\s*_]*|[ \t]+[*_]*)(?=[^\s:*_])", re.IGNORECASE)
"""What announces the answer; with text after it, it ends the reasoning (IRCoT, arXiv 2212.10509). After a colon the
text may stand on the next line."""


def normalized_answer(text: str) -> str:
    """Lower case, without punctuation, articles and repeated spaces (SQuAD's `normalize_answer`)."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exactly_matches(answer: str, gold: str) -> float:
    """EM: 1.0 if the answers are equal after normalization, else 0.0."""
    return float(normalized_answer(answer) == normalized_answer(gold))


def answer_f1(answer: str, gold: str) -> float:
    """F1 of the words, in [0, 1]."""
    found, wanted = normalized_answer(answer), normalized_answer(gold)
    if found != wanted and not VERDICTS.isdisjoint((found, wanted)):
        return 0.0
    words, gold_words = found.split(), wanted.split()
    shared = sum((Counter(words) & Counter(gold_words)).values())
    return 2 * shared / (len(words) + len(gold_words)) if shared else 0.0


def contains_answer(answer: str, gold: str) -> float:
    """Acc: 1.0 if the gold answer stands in the answer as whole words, else 0.0."""
    wanted = normalized_answer(gold)
    return float(bool(wanted) and f" {wanted} " in f" {normalized_answer(answer)} ")


def gold_answers(problem: Problem) -> list[str]:
    """Every gold answer of a question; empty if it has none."""
    aliases = problem.metadata.get("answer_aliases") or ()
    listed = [aliases] if isinstance(aliases, str) else [str(each) for each in aliases if each is not None]
    return [each for each in (problem.answer, *listed) if each]


def best_over_golds(metric: Callable[[str, str], float], answer: str | None, golds: Iterable[str]) -> float:
    """The metric of `answer` for the gold answer that suits it best; 0.0 without an answer or a gold one."""
    return max((metric(answer, gold) for gold in golds), default=0.0) if answer is not None else 0.0


def stated_question_answer(reply: str) -> str | None:
    """The answer that a reply states: the rest of the line after the last "answer is", or the next line after "answer
    is:", without the full stop; None if there is none."""
    mark = last_match(ANSWER_MARK, reply)
    if mark is None:
        return None
    line = reply[mark.end() :].split("\n", 1)[0].strip()
    return line.removesuffix(".").strip().strip("*_").strip() or None


class QuestionVerifier:
    """The `Verifier` for questions: answers are equal after normalization (EM)."""

    async def accepts(self, problem: Problem, answer: str) -> bool:
        """Whether `answer` exactly matches one of the gold answers. False if the question has none."""
        return best_over_golds(exactly_matches, answer, gold_answers(problem)) == 1.0

    async def equivalent(self, first: str, second: str) -> bool:
        """Whether two answers are equal after normalization; symmetric."""
        return normalized_answer(first) == normalized_answer(second)
