"""What a server of OpenAI's protocol answered, and where it stopped.

Servers leave out the stop string at which they stopped, and few say which one it was. So a tag is cut in two: the
server is stopped at its second part, and the first part, which stays, says which tag it was. A blank line leaves no
trace; only a server that says where it stopped, or that keeps stop strings in its text, can be stopped there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treestar.policy.backends.remote_server import UnusableAnswer
from treestar.policy.formats import ENDINGS
from treestar.types import TokenLogProbability

__all__ = ["CUT_TAGS", "Completion", "joined_thought", "read_completion", "stopped_text", "without_beginning"]

CUT_TAGS = {tag: (tag[: place + 1], tag[place + 1 :]) for place, tag in enumerate(ENDINGS)}
"""Each ending tag in two parts. The first part differs for each tag, so the end of the text says which tag it was:
"<", "<e" or "<en"."""

FINISHED = ("stop", "eos", "eos_token", "stop_sequence", "end_turn")
"""How servers say, in small or capital letters, that the model ended its text, or that a stop string did (TGI uses its
own words)."""

LIMITED = ("length", "model_length", "max_tokens", "content_filter", "tool_calls", "function_call")
"""How they say that something else cut it off: it would be cut off again. `model_length` is Mistral's."""

THOUGHT, END_OF_THOUGHT = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Completion:
    """One continuation, as a server returned it."""

    text: str
    finished: bool
    """It ended by itself or at a stop string, not at the token limit."""
    prompt_tokens: int
    tokens: int
    """Both 0 where the server does not count them."""
    log_probability: float
    """Summed over the tokens; 0 where the server returns none."""
    stop: str | None = None
    """The stop string that ended it, where the server says."""
    names_stops: bool = False
    """Whether this server says at which stop string it stopped."""
    thought: str = ""
    """What the model thought before `text`, where the server returns it in a separate field."""
    token_ids: tuple[int, ...] = ()
    """The generated tokens, where the server returns them."""
    confidences: tuple[float, ...] = ()
    """Of each token, where the server returns several log-probabilities for it (`Sampling.confidence_top`)."""
    token_log_probabilities: tuple[TokenLogProbability, ...] = ()
    """Of each token, where the server returns them with its text."""


def read_completion(answer: Any) -> Completion:
    """The continuation in an answer of `/completions` or `/chat/completions`.

    Raises:
        UnusableAnswer: the answer has another shape, or was cut off by the server.
    """
    try:
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        message = choice.get("message") or {}
        content = message.get("content")
        text = content_of(content, "text") if "message" in choice else choice["text"]
        thought = message.get("reasoning") or message.get("reasoning_content") or content_of(content, "thinking")
        reason, stop = choice["finish_reason"].lower(), choice.get("stop_reason", choice.get("matched_stop"))
        completion = Completion(
            text,
            reason in FINISHED,
            int(usage.get("prompt_tokens") or 0),
            count_of(choice, usage),
            log_probability(choice.get("logprobs") or {}),
            stop if isinstance(stop, str) else None,
            "stop_reason" in choice or "matched_stop" in choice,
            thought,
            tuple(map(int, choice.get("token_ids") or ())),
            confidences(choice.get("logprobs") or {}),
            of_tokens(choice.get("logprobs") or {}),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnusableAnswer(f"not the answer of an OpenAI-compatible server: {answer!r:.200}") from error
    if not isinstance(text, str) or not isinstance(thought, str):
        raise UnusableAnswer(f"the reply is not a text: {answer!r:.200}")
    if reason not in FINISHED and reason not in LIMITED:
        raise UnusableAnswer(f"cut off with finish_reason {reason!r}")
    return completion


def count_of(choice: dict[str, Any], usage: dict[str, Any]) -> int:
    """The tokens of an answer; 0 if the server neither counts nor lists them."""
    logprobs = choice.get("logprobs") or {}
    listed = choice.get("token_ids") or logprobs.get("token_logprobs") or logprobs.get("content") or ()
    return int(usage.get("completion_tokens") or len(listed))


def content_of(content: Any, kind: str) -> Any:
    """What a message's content has of that kind: a text, or a list of parts, as from Mistral's thinking models."""
    if isinstance(content, list):
        return "".join(content_of(part[kind], "text") for part in content if part["type"] == kind)
    return (content or "") if kind == "text" else ""


def log_probability(logprobs: dict[str, Any]) -> float:
    """The sum over the tokens, from an answer of either endpoint."""
    tokens = logprobs.get("token_logprobs") or [token["logprob"] for token in logprobs.get("content") or ()]
    return min(float(sum(each for each in tokens if each is not None)), 0.0)


def of_tokens(logprobs: dict[str, Any]) -> tuple[TokenLogProbability, ...]:
    """Each token with its log-probability, from an answer of either endpoint; () if it lacks either."""
    pairs = list(zip(logprobs.get("tokens") or (), logprobs.get("token_logprobs") or (), strict=False))
    pairs += [(token.get("token"), token.get("logprob")) for token in logprobs.get("content") or ()]
    if not all(isinstance(text, str) and isinstance(number, float | int) for text, number in pairs):
        return ()
    return tuple(TokenLogProbability(text, min(float(number), 0.0)) for text, number in pairs)


def confidences(logprobs: dict[str, Any]) -> tuple[float, ...]:
    """Minus the mean log-probability of the most probable tokens at each position, from an answer of either endpoint;
    () if there is one per position at most."""
    tops = [list(top.values()) for top in logprobs.get("top_logprobs") or () if top]
    tops += [[each["logprob"] for each in token.get("top_logprobs") or ()] for token in logprobs.get("content") or ()]
    return tuple(-sum(top) / len(top) for top in tops) if all(len(top) > 1 for top in tops) else ()


def stopped_text(completion: Completion, stops: Sequence[str]) -> tuple[str, bool]:
    """The text with the stop string that ended it, and whether one did.

    Args:
        stops: the stop strings that were sent; second parts of CUT_TAGS are completed to the whole tag.
    """
    text = completion.text
    if not completion.finished:
        return text, False
    if any(text.endswith(stop) for stop in stops):
        return text, True
    if completion.stop in stops:
        return text + (completion.stop or ""), True
    for kept, cut in CUT_TAGS.values():
        if cut in stops and text.endswith(kept):
            return text + cut, True
    return text, False


def joined_thought(completion: Completion, reply: str) -> str:
    """The text, after the thought that the server filed in another field.

    Args:
        reply: the reply so far; a thought that is open there is continued.
    """
    if not completion.thought:
        return completion.text
    opening = "" if is_thinking(reply) else THOUGHT
    closing = END_OF_THOUGHT if completion.text or completion.finished else ""
    return f"{opening}{completion.thought}{closing}{completion.text}"


def is_thinking(reply: str) -> bool:
    return reply.rfind(THOUGHT) > reply.rfind(END_OF_THOUGHT)


MADE_UP_OUTPUT = re.compile(r"\s*```output\n.*?^```[ \t]*\n?", re.DOTALL | re.MULTILINE)


def without_beginning(text: str, beginnings: Sequence[str]) -> str:
    """`text` without what it repeats of the reply so far, nor what it claims that the reply's code printed.

    Args:
        beginnings: the reply so far, and other forms of it that a model may repeat.
    """
    said = text.lstrip()
    for beginning in beginnings:
        begun = beginning.strip()
        if begun and said.startswith(begun):
            text = said[len(begun) :].removeprefix(beginning[len(beginning.rstrip()) :])
            made_up = MADE_UP_OUTPUT.match(text)
            return text[made_up.end() :] if made_up else text
    return text
