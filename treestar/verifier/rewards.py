"""The grader in the signatures of other libraries: reward functions of TRL and a metric of lighteval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from treestar.verifier.grading.answers import equivalent, extract_answer
from treestar.verifier.grading.questions import answer_f1, best_over_golds, stated_question_answer

__all__ = ["accuracy_metric", "accuracy_reward", "question_reward"]

Completion = str | Sequence[Mapping[str, Any]]
"""The text of a reply, or the messages of a chat whose last one it is."""


def accuracy_reward(
    completions: Sequence[Completion],
    solution: Sequence[str | None],
    log_extra: Callable[[str, list[Any]], None] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> list[float | None]:
    r"""1.0 for each reply whose answer is equivalent to its gold answer, else 0.0; a reward function for TRL.

    >>> accuracy_reward([[{"role": "assistant", "content": "So it is \\boxed{0.5}."}]], ["\\frac{1}{2}"])
    [1.0]

    Args:
        completions: the replies, as TRL passes them: texts, or lists of messages.
        solution: a gold answer for each reply, bare or in a worked solution that states it.
        log_extra: takes a column of the completions table, as TRL passes it.
        kwargs: the other columns of the data set; not read.

    Returns:
        One reward for each reply; None, which TRL leaves out, where there is no gold answer.

    Raises:
        ValueError: there are not as many gold answers as replies.
    """
    replies = [text_of(completion) for completion in completions]
    rewards = [
        None if gold is None or not gold.strip() else float(equivalent(gold, reply))
        for reply, gold in zip(replies, solution, strict=True)
    ]
    if log_extra is not None:
        log_extra("solution", list(solution))
        log_extra("answer", [extract_answer(reply) or "" for reply in replies])
    return rewards


def question_reward(
    completions: Sequence[Completion],
    solution: Sequence[str | Sequence[str] | None],
    log_extra: Callable[[str, list[Any]], None] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> list[float | None]:
    """The F1, in [0, 1], of the answer that each reply to a question about facts states; a reward function for TRL.

    >>> question_reward(["He was born in Ulm. So the answer is: the city of Ulm."], ["Ulm"])
    [0.5]

    Args:
        completions: the replies, as for `accuracy_reward`.
        solution: a gold answer for each reply, or several that are alike; the best counts.
        log_extra, kwargs: as for `accuracy_reward`.

    Returns:
        One reward for each reply; 0.0 where it states no answer, None where there is no gold answer.

    Raises:
        ValueError: there are not as many gold answers as replies.
    """
    answers = [stated_question_answer(text_of(completion)) for completion in completions]
    golds = [[gold] if isinstance(gold, str) else list(gold or ()) for gold in solution]
    if log_extra is not None:
        log_extra("answer", [answer or "" for answer in answers])
    return [
        best_over_golds(answer_f1, answer, known) if any(each.strip() for each in known) else None
        for answer, known in zip(answers, golds, strict=True)
    ]


def text_of(completion: Completion) -> str:
    if isinstance(completion, str):
        return completion
    return str(completion[-1].get("content") or "") if completion else ""


class Document(Protocol):
    """What this metric reads of a `Doc` of lighteval."""

    def get_golds(self) -> list[str]: ...


class Response(Protocol):
    """What this metric reads of a `ModelResponse` of lighteval."""

    @property
    def final_text(self) -> list[str]: ...


def accuracy_metric(doc: Document, model_response: Response, **kwargs: Any) -> float:  # noqa: ARG001
    """1.0 if the first reply's answer is equivalent to one of the gold answers, else 0.0; a sample-level function for
    lighteval.

    Args:
        doc: the question, with its gold answers.
        model_response: the replies of the model, without its thoughts.
        kwargs: other arguments of lighteval; not read.
    """
    replies = model_response.final_text
    return float(bool(replies) and any(equivalent(gold, replies[0]) for gold in doc.get_golds()))
