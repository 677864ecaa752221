"""Rewards for reinforcement learning, in TRL's signature, and the grader as a metric of lighteval.

A reward function takes the replies and columns of equal length, and returns a number for each reply, or None where it
does not apply. `treestar train grpo` fills the columns from the trajectories that were executed, never from the decoded
text, which contains what the executor wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treestar.verifier.grading.answers import equivalent, extract_answer
from treestar.verifier.grading.questions import answer_f1, best_over_golds, stated_question_answer

__all__ = [
    "accuracy_metric",
    "accuracy_reward",
    "brevity",
    "correct",
    "executed",
    "overlong_penalty",
    "question_reward",
    "reasoning_and_answer",
    "reasoning_present",
]

Completion = str | Sequence[Mapping[str, Any]]
"""The text of a reply, or the messages of a chat whose last one it is."""

Rewards = list[float | None]

REASONING_AND_ANSWER = {(True, True): 1.0, (True, False): 0.3, (False, True): 0.5, (False, False): 0.0}
"""The reward by whether reasoning is present and whether the answer is right."""


def correct(completions: Sequence[Completion], verdicts: Sequence[bool | None], **kwargs: Any) -> Rewards:  # noqa: ARG001
    """1 for a right answer, 0 for a wrong or missing one.

    Args:
        verdicts: whether each answer is right: equivalent to the gold answer, or passing the unit tests; None if the
            problem has neither.
    """
    return [None if verdict is None else float(verdict) for verdict in verdicts]


def reasoning_present(completions: Sequence[Completion], has_reasoning: Sequence[bool], **kwargs: Any) -> Rewards:  # noqa: ARG001
    """1 for a reply that gives reasons, 0 for one that only answers (`StepFormat.has_reasoning`)."""
    return [float(each) for each in has_reasoning]


def reasoning_and_answer(
    completions: Sequence[Completion],  # noqa: ARG001
    verdicts: Sequence[bool | None],
    has_reasoning: Sequence[bool],
    **kwargs: Any,  # noqa: ARG001
) -> Rewards:
    """1 for reasoning and a right answer, .5 for the answer only, .3 for reasoning only, 0 for neither; None without a
    verdict."""
    return [
        None if verdict is None else REASONING_AND_ANSWER[reasoning, verdict]
        for verdict, reasoning in zip(verdicts, has_reasoning, strict=True)
    ]


def executed(
    completions: Sequence[Completion],  # noqa: ARG001
    executed_steps: Sequence[int],
    failed_steps: Sequence[int],
    **kwargs: Any,  # noqa: ARG001
) -> Rewards:
    """The share of the executed steps that ran without an error; None for a trajectory that executed nothing."""
    return [1.0 - failed / steps if steps else None for steps, failed in zip(executed_steps, failed_steps, strict=True)]


def brevity(
    completions: Sequence[Completion],  # noqa: ARG001
    verdicts: Sequence[bool | None],
    generated_tokens: Sequence[int],
    group: Sequence[str],
    **kwargs: Any,  # noqa: ARG001
) -> Rewards:
    """The length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3), in [-.5, .5]: from .5 for the shortest reply of
    a group to -.5 for its longest, but at most 0 for a wrong one. 0 where all are of one length.

    Args:
        generated_tokens: the tokens that the policy wrote.
        group: the same name for replies to the same problem.
    """
    lengths: defaultdict[str, list[int]] = defaultdict(list)
    for name, tokens in zip(group, generated_tokens, strict=True):
        lengths[name].append(tokens)

    def reward(verdict: bool | None, tokens: int, name: str) -> float | None:
        if verdict is None:
            return None
        shortest, longest = min(lengths[name]), max(lengths[name])
        value = 0.0 if longest == shortest else 0.5 - (tokens - shortest) / (longest - shortest)
        return value if verdict else min(0.0, value)

    return [reward(*each) for each in zip(verdicts, generated_tokens, group, strict=True)]


def overlong_penalty(max_tokens: int, buffer: int) -> Callable[..., Rewards]:
    """The reward function of DAPO's soft overlong punishment (arXiv 2503.14476, equation 13): 0 up to
    `max_tokens - buffer` tokens, then falling linearly to -1 at `max_tokens`. All tokens of the completion count, also
    those that the executor wrote, as they do for the limit; one that left no room for a further step is at the limit.

    Raises:
        ValueError: `buffer` is not between 1 and `max_tokens`.
    """
    if not 1 <= buffer <= max_tokens:
        raise ValueError(f"buffer must be between 1 and the {max_tokens} tokens of the limit, not {buffer!r}")

    def overlong(
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]],
        ended: Sequence[str] | None = None,
        **kwargs: Any,  # noqa: ARG001
    ) -> Rewards:
        limits = [end == "context" for end in ended] if ended is not None else [False] * len(completions)
        lengths = [max_tokens if limit else len(ids) for ids, limit in zip(completion_ids, limits, strict=True)]
        return [max(-1.0, min(0.0, (max_tokens - buffer - length) / buffer)) for length in lengths]

    return overlong


def accuracy_reward(
    completions: Sequence[Completion],
    solution: Sequence[str | None],
    log_extra: Callable[[str, list[Any]], None] | None = None,
    prompts: Sequence[Completion] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> Rewards:
    r"""1.0 for each reply whose answer is equivalent to its gold answer, else 0.0; a reward function for TRL.

    >>> accuracy_reward([[{"role": "assistant", "content": "So it is \\boxed{0.5}."}]], ["\\frac{1}{2}"])
    [1.0]

    Args:
        completions: the replies, as TRL passes them: texts, or lists of messages.
        solution: a gold answer for each reply, bare or in a worked solution that states it.
        log_extra: takes a column of the completions table, as TRL passes it.
        prompts: the question of each reply, in the same form. With it, only the answer that a search would read in the
            reply counts.
        kwargs: the other columns of the data set; not read.

    Returns:
        One reward for each reply; None, which TRL leaves out, where there is no gold answer.

    Raises:
        ValueError: there are not as many gold answers or questions as replies.
    """
    replies = [text_of(completion) for completion in completions]
    questions = [""] * len(replies) if prompts is None else [text_of(prompt) for prompt in prompts]
    rewards = [
        None if gold is None or not gold.strip() else float(answers(reply, gold, question))
        for reply, gold, question in zip(replies, solution, questions, strict=True)
    ]
    if log_extra is not None:
        log_extra("solution", list(solution))
        log_extra("answer", [extract_answer(*each) or "" for each in zip(replies, questions, strict=True)])
    return rewards


def answers(reply: str, gold: str, question: str) -> bool:
    """Whether the answer in `reply` is equivalent to the gold answer, as a search would read it; without the question,
    also whether the reply as a whole is."""
    answer = extract_answer(reply, question)
    if answer is not None and equivalent(gold, answer):
        return True
    return (answer is None or not question) and answer != reply and equivalent(gold, reply)


def question_reward(
    completions: Sequence[Completion],
    solution: Sequence[str | Sequence[str] | None],
    log_extra: Callable[[str, list[Any]], None] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> Rewards:
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


def accuracy_metric(doc: Any, model_response: Any, **kwargs: Any) -> float:  # noqa: ARG001
    """1.0 if the first reply's answer is equivalent to one of the gold answers, else 0.0; a sample-level function for
    lighteval.

    Args:
        doc: lighteval's `Doc`; its `query` is the question, `get_golds()` its gold answers.
        model_response: lighteval's `ModelResponse`; its `final_text` are the replies without the model's thoughts.
        kwargs: other arguments of lighteval; not read.
    """
    replies = model_response.final_text
    return float(bool(replies) and any(answers(replies[0], gold, doc.query) for gold in doc.get_golds()))
