"""A policy behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, or a hosted model.

docs/guides/backends.md says what is sent and what depends on the server.

A step format that is text to be continued goes to `/completions`. One with messages (`StepFormat.messages`) goes to
`/chat/completions`, where the server applies the model's own template; the steps so far are the beginning of the
assistant's reply, which the server is asked to continue.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from treestar.policy.backends.remote_server import Refusal, RemoteServer, RemoteServerConfig, UnusableAnswer
from treestar.policy.backends.sampling import refuse_distinct, request_seed
from treestar.policy.formats import (
    ENDINGS,
    PARAGRAPH,
    FormatName,
    Message,
    StepFormat,
    family_named,
    step_format_named,
)
from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.models import model_config, shipped_path
from treestar.types import ContextOverflow, Proposal, Sampling, State, Step, TreestarError

__all__ = [
    "OPENAI_PREFIX",
    "OVERFLOW",
    "OpenAIPolicy",
    "load_openai_policy",
    "parse_openai_name",
]

OPENAI_PREFIX = "openai:"

CUT_TAGS = {tag: (tag[: place + 1], tag[place + 1 :]) for place, tag in enumerate(ENDINGS)}
"""Each ending tag in two parts. Servers stop at the second and leave it out, and few say where they stopped. But the
first part differs for each tag, so the end of the text says which tag it was: "<", "<e" or "<en"."""

WHOLE_DISTRIBUTION = ("top_k", "min_p", "repetition_penalty")
"""Always sent, because servers, or the models' generation_config.json, would otherwise change the probabilities."""

CONTINUE_REPLY = {"add_generation_prompt": False, "continue_final_message": True}
"""Asks vLLM, SGLang and llama.cpp to continue the last message; Ollama does so by default."""

OPTIONAL = ("seed", "logprobs", *WHOLE_DISTRIBUTION, *CONTINUE_REPLY)
"""Fields that a server may reject; they are then left out."""

GO_ON = "Go on exactly where you stopped: write what comes next, up to and with its tag, and nothing else."

PREFILL_REFUSED = re.compile(r"prefill|last role|end with a user message", re.IGNORECASE)
"""How servers say that the last message must not be the assistant's."""

OVERFLOW = re.compile(
    r"context.{0,20}(length|size|window)|exceed_context|max(imum)?[ _](model[ _]|input[ _]|prompt[ _])?len"
    r"|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)
"""How servers say that prompt and step do not fit."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One continuation, as a server returned it."""

    text: str
    finished: bool
    """It ended by itself or at a stop string, not at the token limit."""
    prompt_tokens: int
    tokens: int
    log_probability: float
    """Summed over the tokens; 0 where the server returns none."""
    stop: str | None
    """The stop string that ended it, where the server says."""
    names_stops: bool
    """Whether this server says at which stop string it stopped."""


class OpenAIPolicy(LanguageModelPolicy):
    """A policy whose model runs behind a server. Each candidate is a request with its own seed.

    Args:
        model: the model's name at the server.
        url: the server's base URL; see `RemoteServer`.
        step_format: the format in which the model writes its steps, which also chooses the endpoint.
        continue_replies: False asks for each next step with a message, for a chat server that would start a new reply
            after an unfinished one. A server that says it does is asked that way in any case.
        extra_body: additional fields of every request, such as `{"skip_special_tokens": False}`.

    Raises:
        TreestarError: the URL or the key is malformed, or the `openai` package is missing.
    """

    def __init__(
        self,
        model: str,
        url: str | None,
        step_format: StepFormat,
        config: RemoteServerConfig | None = None,
        continue_replies: bool = True,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        self.server = RemoteServer(url, config or RemoteServerConfig())
        super().__init__(step_format, f"{OPENAI_PREFIX}{model}@{self.server.url}")
        self.model = model
        self.extra_body = extra_body or {}
        self.refused: set[str] = set() if continue_replies else set(CONTINUE_REPLY)
        """The OPTIONAL fields that the server rejects."""
        self.names_stops = False

    async def close(self) -> None:
        """Close the connections."""
        await self.server.close()

    def report(self) -> str:
        """The server failures that were recovered from, in one line; "" without any."""
        failed = self.server.failures_text()
        parts = [f"requests repeated: {failed}"] if failed else []
        parts += [f"the server does not take: {', '.join(sorted(self.refused))}"] if self.refused else []
        return "; ".join(parts)

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`.

        Raises:
            ContextOverflow: the server says that the prompt and the longest step exceed the model's context.
            TreestarError: the server refuses the request, kept failing for longer than the patience, or was asked for
                distinct candidates.
        """
        refuse_distinct(sampling, self.name)
        tasks = [asyncio.create_task(self.complete(state, sampling, request_seed(seed, index))) for index in range(n)]
        try:
            completions = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        steps = tuple(self.step(state, each) for each in completions)
        return Proposal(steps, completions[0].prompt_tokens, sum(step.tokens for step in steps))

    async def complete(self, state: State, sampling: Sampling, seed: int) -> Completion:
        """One continuation; a field that the server rejects is left out from then on."""
        while True:
            body = self.body(state, sampling, seed)
            path = "/chat/completions" if "messages" in body else "/completions"
            try:
                completion = await self.server.post(path, body, read_completion)
            except Refusal as refusal:
                if refusal.status in (400, 413, 422) and OVERFLOW.search(refusal.message):
                    raise ContextOverflow(f"{self.name}: {refusal.message}") from None
                unwanted = (set(body) - set(self.extra_body)).intersection(
                    OPTIONAL, re.findall(r"\w+", refusal.message)
                )
                if PREFILL_REFUSED.search(refusal.message):
                    unwanted |= set(body).intersection(CONTINUE_REPLY)
                if not unwanted:
                    raise TreestarError(
                        f"{self.server.url} refuses model {self.model!r} ({refusal.status}): {refusal.message}"
                    ) from None
                self.refused.update(unwanted)
            else:
                self.names_stops = completion.names_stops
                return completion

    def body(self, state: State, sampling: Sampling, seed: int) -> dict[str, Any]:
        """The request as JSON."""
        messages = self.messages(state)
        optional = {"seed": seed, "logprobs": 1 if messages is None else True, **distribution(sampling)}
        if messages is not None and self.continues_replies():
            optional |= CONTINUE_REPLY
        return {
            "model": self.model,
            **({"prompt": self.format.prompt(state)} if messages is None else {"messages": messages}),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop": self.stop_strings(state),
            **{name: value for name, value in optional.items() if name not in self.refused},
            **self.extra_body,
        }

    def messages(self, state: State) -> list[Message] | None:
        """The conversation up to where the next step begins; None for a format that is text to be continued.

        The reply so far comes last, or, where the server does not continue replies, before a request to continue.
        """
        messages = self.format.messages(state.problem)
        if messages is None:
            return None
        reply: Message = {"role": "assistant", "content": self.format.reply(state)}
        if self.continues_replies():
            return [*messages, reply]
        return [*messages, reply, {"role": "user", "content": GO_ON}] if state.steps else messages

    def continues_replies(self) -> bool:
        return not self.refused.intersection(CONTINUE_REPLY)

    def stop_strings(self, state: State) -> list[str]:
        """A paragraph leaves no trace of its end, so only a server that says where it stopped may stop there."""
        wanted = self.format.stop_strings(state)
        return [
            CUT_TAGS[each][1] if each in CUT_TAGS else each for each in wanted if each in CUT_TAGS or self.names_stops
        ]

    def step(self, state: State, completion: Completion) -> Step:
        text = with_whole_tag(completion) + (PARAGRAPH if completion.stop == PARAGRAPH else "")
        if self.format.messages(state.problem) is not None:
            text = self.format.own_text(state, text)
        stopped = any(stop in text for stop in self.format.stop_strings(state))
        step = self.format.parse(state, text, completion.finished and not stopped)
        return replace(step, tokens=completion.tokens, log_probability=completion.log_probability)


def distribution(sampling: Sampling) -> dict[str, Any]:
    """The fields of WHOLE_DISTRIBUTION."""
    return {"top_k": sampling.top_k or -1, "min_p": sampling.min_p, "repetition_penalty": 1.0}


def with_whole_tag(completion: Completion) -> str:
    """The text, completed where it stopped inside a tag."""
    for kept, cut in CUT_TAGS.values():
        if completion.finished and completion.text.endswith(kept):
            return completion.text + cut
    return completion.text


def read_completion(answer: Any) -> Completion:
    """The continuation in an answer of either endpoint.

    Raises:
        UnusableAnswer: the answer has another shape, lacks token counts, or was cut off by the server.
    """
    try:
        choice, usage = answer["choices"][0], answer["usage"]
        text = choice["message"]["content"] or "" if "message" in choice else choice["text"]
        reason, stop = choice["finish_reason"], choice.get("stop_reason", choice.get("matched_stop"))
        completion = Completion(
            text,
            reason == "stop",
            int(usage["prompt_tokens"]),
            int(usage["completion_tokens"]),
            log_probability(choice.get("logprobs") or {}),
            stop if isinstance(stop, str) else None,
            "stop_reason" in choice or "matched_stop" in choice,
        )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise UnusableAnswer(f"not the answer of an OpenAI-compatible server: {answer!r:.200}") from error
    if not isinstance(text, str) or reason not in ("stop", "length", "content_filter"):
        raise UnusableAnswer(f"cut off with finish_reason {reason!r}")
    return completion


def log_probability(logprobs: dict[str, Any]) -> float:
    """The sum over the tokens, from an answer of either endpoint."""
    tokens = logprobs.get("token_logprobs") or [token["logprob"] for token in logprobs.get("content") or ()]
    return min(float(sum(tokens)), 0.0)


def load_openai_policy(
    name: str, step_format: FormatName | None, config: RemoteServerConfig, step_separator: str | None = None
) -> OpenAIPolicy:
    """The policy that `openai:MODEL@URL` or `openai:MODEL` names.

    Args:
        step_format: None takes what config.json says under `treestar_format` where MODEL is a folder or a shipped
            model, else what the family of that name writes: servers do not tell.
        step_separator: as for `load_policy`.

    Raises:
        TreestarError: the name contains no MODEL, or as `OpenAIPolicy`.
    """
    model, url = parse_openai_name(name)
    found = model_config(shipped_path("policy", model) or Path(model).expanduser())
    family = family_named(model)
    chosen = step_format or found.get("treestar_format", family.format)
    return OpenAIPolicy(model, url, step_format_named(chosen, family=family, separator=step_separator), config)


def parse_openai_name(name: str) -> tuple[str, str | None]:
    """The model and the server's URL in `openai:MODEL@URL`. Raises TreestarError if it contains no model."""
    model, _, rest = name.removeprefix(OPENAI_PREFIX).partition("@http")
    if not model:
        raise TreestarError(f"{name!r} names no model: write {OPENAI_PREFIX}MODEL@URL or {OPENAI_PREFIX}MODEL")
    return model, "http" + rest if rest else None
