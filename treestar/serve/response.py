"""The result of a search as a chat completion, whole or in chunks."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from treestar.search import SearchResult, SearchStats, TrajectoryStep
from treestar.serve.errors import RequestError
from treestar.serve.request import MODEL, SearchRequest

__all__ = ["DONE", "Reply", "comment", "error_event"]

NO_ANSWER = "No answer was found."
DONE = "data: [DONE]\n\n"


class Reply:
    """The answer to one request. All chunks have the same id and time."""

    def __init__(self, request: SearchRequest) -> None:
        self.request = request
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())

    def completion(self, result: SearchResult) -> dict[str, Any]:
        """The whole answer as a `chat.completion` object."""
        message = {"role": "assistant", "content": "".join(self.text(result)), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(result)}
        return self.frame("chat.completion") | {
            "choices": [choice],
            "usage": usage(result.stats),
            "treestar": details(result, self.request),
        }

    def opening(self) -> str:
        """The first chunk, sent before the search has found anything."""
        return self.chunk({"role": "assistant", "content": ""})

    def chunks(self, result: SearchResult) -> Iterator[str]:
        """The chunks after the first: one per step and one for the answer, then the finish reason, then the usage."""
        for piece in self.text(result):
            yield self.chunk({"content": piece})
        yield self.chunk({}, finish_reason(result), treestar=details(result, self.request))
        if self.request.include_usage:
            yield event(self.frame("chat.completion.chunk") | {"choices": [], "usage": usage(result.stats)})
        yield DONE

    def text(self, result: SearchResult) -> list[str]:
        return cut_before(solution(result), self.request.stop)

    def chunk(self, delta: dict[str, Any], finish: str | None = None, **extra: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self.frame("chat.completion.chunk") | {"choices": [choice]} | extra)

    def frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": MODEL}


def solution(result: SearchResult) -> list[str]:
    """The chosen trajectory in readable form, in pieces: one per step, and the boxed answer."""
    if result.answer is None:
        return [NO_ANSWER]
    return [*(step_text(step) + "\n\n" for step in result.trajectory), f"The answer is \\boxed{{{result.answer}}}"]


def step_text(step: TrajectoryStep) -> str:
    body = step.text.strip() if step.is_prose else f"```python\n{step.code.strip()}\n```"
    output = step.output.rstrip()
    return f"{body}\n```output\n{output}\n```" if output else body


def cut_before(pieces: Sequence[str], stops: Sequence[str]) -> list[str]:
    """The pieces up to the first stop string, which may span several of them."""
    text = "".join(pieces)
    end = min((text.index(stop) for stop in stops if stop in text), default=len(text))
    kept = []
    for piece in pieces:
        kept.append(piece[:end])
        end -= len(kept[-1])
    return [piece for piece in kept if piece]


def finish_reason(result: SearchResult) -> str:
    """`length` if a budget ended the search without an answer, so that a larger budget might find one."""
    return "length" if result.answer is None and result.stopped != "exhausted" else "stop"


def usage(stats: SearchStats) -> dict[str, int]:
    return {
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.spent_tokens,
        "total_tokens": stats.prompt_tokens + stats.spent_tokens,
    }


def details(result: SearchResult, request: SearchRequest) -> dict[str, Any]:
    """The field `treestar` of a response: confidence, statistics and more about the answer."""
    assert result.tree is not None
    whole = result.to_json()
    return {
        **{name: whole[name] for name in ("answer", "confidence", "stopped", "trajectory", "stats")},
        "strategy": result.tree.strategy,
        "config": result.tree.config,
        "seed": request.seed,
        "not_used": list(request.not_used),
        **({"deprecated": list(request.deprecated)} if request.deprecated else {}),
    }


def event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def error_event(error: RequestError) -> str:
    """An error after the stream has started, in the format that OpenAI's clients recognize."""
    return event(error.to_json())


def comment(stats: SearchStats) -> str:
    """The progress of a search in a line that clients ignore; it also keeps the connection open."""
    return f": {stats.rollouts} rollouts, {stats.nodes} nodes, {stats.generated_tokens} tokens\n\n"
