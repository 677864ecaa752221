"""Finds out, with one or a few tiny requests, how a server continues a reply.

The request is an unfinished count: a server that continues it says 8, one that begins a new reply says 1, or words. Its
stop string, 9, shows whether a stop string leaves a trace. What a server refuses tells as well.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from treestar.policy.backends.openai_answers import Completion
from treestar.policy.backends.openai_dialect import CONTINUE_REPLY, PREFILL_REFUSED, Dialect
from treestar.policy.backends.openai_ways import (
    Asking,
    Completions,
    Continuing,
    PlainText,
    Way,
    WayName,
    WholeSolutions,
    thinks,
)
from treestar.policy.backends.prompt_tokens import encode
from treestar.policy.backends.remote_server import Refusal
from treestar.policy.formats import ChatFormat, StepFormat, missing_bos
from treestar.types import Problem, State, TreestarError

__all__ = ["Ask", "choose_way", "named_way"]

Ask = Callable[[str, dict[str, Any]], Awaitable[Completion]]
"""(path, fields) -> the server's answer; raises Refusal."""

COUNT = "1 2 3 4 5 6 7"
PROBE: dict[str, Any] = {"max_tokens": 6, "temperature": 0.0, "stop": ["9"], "include_stop_str_in_output": True}
"""Too few tokens to reach 8 when starting over, and enough to reach 9 when continuing."""

COUNTING = "Count from 1 to 20 in one line: only the numbers, with blanks between them."

CONTINUING_FIELDS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = ((CONTINUE_REPLY, {}), ({}, {"prefix": True}))
"""Ways to ask for a continuation, as fields of the request and of its last message. Servers ignore or refuse what they
do not know, and some continue such a message without being asked (llama.cpp, Ollama, LMDeploy)."""

PREFIX_HOSTS = ("deepseek.com", "mistral.ai")
"""They would take the fields of the first way, ignore them, and begin a new reply."""

FLAG = [*CONTINUE_REPLY][-1]
UNCLEAR = "a test does not show whether the server continues an unfinished reply"
BEGINS_ANEW = "the server begins a new reply after an unfinished one"
KEEPS_NO_THOUGHTS = (
    "a thought cannot be continued in /chat/completions, because chat templates drop or rewrite it, and the model's "
    "tokenizer is not on this machine or the server has no /completions"
)
AS_WHOLE = (
    "so each candidate is a complete solution: strategies that sample solutions work, and tree searches are no better "
    "than those, because they have nothing to branch at"
)
AS_ASKED = "so each step is asked for with a further message"


async def choose_way(step_format: StepFormat, dialect: Dialect, tokenizer: Any, url: str, ask: Ask) -> Way:
    """The way to have the server write steps.

    Args:
        tokenizer: the model's transformers tokenizer, if it is on this machine.
        url: the server's base URL.

    Raises:
        Refusal: the server does not know the model, or the key is wrong.
        TreestarError: as `ask`.
    """
    if step_format.messages(State(Problem(""))) is None:
        return PlainText(step_format, dialect)
    if tokenizer is not None:
        completions = await probe_completions(step_format, dialect, tokenizer, ask)
        if completions is not None:
            return completions
    if thinks(step_format, dialect):
        return WholeSolutions(step_format, dialect, f"{KEEPS_NO_THOUGHTS}, {AS_WHOLE}")
    return await probe_chat(step_format, dialect, url, ask)


def named_way(name: WayName, step_format: StepFormat, dialect: Dialect, tokenizer: Any) -> Way:
    """The way of that name, without asking the server. Raises TreestarError if a tokenizer is needed and missing."""
    if step_format.messages(State(Problem(""))) is None:
        return PlainText(step_format, dialect)
    if name == "completions":
        if tokenizer is None:
            raise TreestarError("the way `completions` needs the model's tokenizer: pass `tokenizer`")
        return Completions(step_format, dialect, tokenizer)
    ways: dict[WayName, type[Way]] = {"continuing": Continuing, "asking": Asking, "whole": WholeSolutions}
    return ways[name](step_format, dialect)


async def probe_completions(step_format: StepFormat, dialect: Dialect, tokenizer: Any, ask: Ask) -> Completions | None:
    """The way through `/completions`; None if the server has none."""
    ids = encode(tokenizer, COUNT)
    begun = missing_bos(tokenizer, []) + ids
    rendered = "requests go to /completions, with prompts rendered here by the model's own chat template"
    try:
        fields = {**PROBE, "skip_special_tokens": False}
        completion = await ask("/completions", {**fields, "prompt": begun, "return_token_ids": True})
        if completion.prompt_tokens == len(begun):
            return Completions(step_format, dialect, tokenizer, sentence=f"{rendered} and sent as token ids")
    except Refusal:
        pass
    try:
        completion = await ask("/completions", {**fields, "prompt": COUNT})
    except Refusal:
        return None
    counted = {len(ids): False, len(ids) + 1: True}
    adds_bos = counted.get(completion.prompt_tokens, bool(missing_bos(tokenizer, [])))
    sentence = f"{rendered} and sent as text, because the server takes no token ids"
    return Completions(step_format, dialect, tokenizer, False, adds_bos, sentence)


Verdict = Literal["continues", "restarts", "unclear"]


async def probe_chat(step_format: StepFormat, dialect: Dialect, url: str, ask: Ask) -> Way:
    """The way through `/chat/completions`."""
    attempts = CONTINUING_FIELDS
    if (urlsplit(url).hostname or "").endswith(PREFIX_HOSTS):
        attempts = attempts[::-1]
    verdicts: list[Verdict] = []
    for fields, message_fields in attempts:
        verdicts.append(await probe_continuing(fields, message_fields, dialect, ask))
        if verdicts[-1] == "continues":
            taken = [name for name in (*fields, *message_fields) if name not in dialect.refused]
            how = f"asked with {taken[-1]}" if taken else "without being asked"
            sentence = f"requests go to /chat/completions, where the server continues an unfinished reply, {how}"
            return Continuing(step_format, dialect, fields, message_fields, sentence)
    if "unclear" in verdicts:
        if dialect.refused.isdisjoint(CONTINUE_REPLY):
            sentence = f"{UNCLEAR}, and it is taken to, because it does not refuse {FLAG}"
            return Continuing(step_format, dialect, sentence=sentence)
        return begins_anew(step_format, dialect, f"{UNCLEAR}, and it is taken not to, because it refuses {FLAG}")
    return begins_anew(step_format, dialect, BEGINS_ANEW)


def begins_anew(step_format: StepFormat, dialect: Dialect, found: str) -> Way:
    if isinstance(step_format, ChatFormat):
        return Asking(step_format, dialect, f"{found}, {AS_ASKED}")
    return WholeSolutions(step_format, dialect, f"{found}, {AS_WHOLE}")


async def probe_continuing(
    fields: dict[str, Any], message_fields: dict[str, Any], dialect: Dialect, ask: Ask
) -> Verdict:
    """What the server does with an unfinished reply.

    Raises:
        Refusal: not because of the reply.
    """
    messages = [{"role": "user", "content": COUNTING}, {"role": "assistant", "content": COUNT, **message_fields}]
    try:
        completion = await ask("/chat/completions", {**PROBE, **fields, "messages": messages})
    except Refusal as refusal:
        if refusal.status in (400, 422) or PREFILL_REFUSED.search(refusal.message):
            return "restarts"
        raise
    return verdict(completion, asked=not dialect.refused.intersection(CONTINUE_REPLY))


def verdict(completion: Completion, asked: bool) -> Verdict:
    """What an answer to the unfinished count says.

    Args:
        asked: the server did not refuse the fields that ask for a continuation. Otherwise a chat model may go on
            counting in a new reply, which does not begin with the blank that comes after 7.
    """
    text = completion.text or completion.thought  # vLLM's parsers of thoughts may file a continuation there
    said = text.strip()
    if said.startswith(COUNT) and completion.tokens <= PROBE["max_tokens"]:
        return "continues"  # Mistral's API repeats the reply
    if re.match(r"8\b", said):
        return "continues" if asked or text[0].isspace() else "restarts"
    return "restarts" if re.match(r"1\b|\D*[^\W\d_]", said) else "unclear"
