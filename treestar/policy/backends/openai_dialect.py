"""What one server takes of a request, learned from what it refuses and from what it answers."""

from __future__ import annotations

import re
from typing import Any

from treestar.policy.backends.openai_answers import Completion
from treestar.policy.formats.templates import fold_system

__all__ = ["CONTINUE_REPLY", "OVERFLOW", "PREFILL_REFUSED", "WHOLE_DISTRIBUTION", "Dialect"]

WHOLE_DISTRIBUTION = ("top_k", "min_p", "repetition_penalty")
"""Always sent, because servers, or the models' generation_config.json, would otherwise change the probabilities."""

CONTINUE_REPLY = {"add_generation_prompt": False, "continue_final_message": True}
"""Asks vLLM, SGLang, TGI and tabbyAPI to continue the last message."""

OPTIONAL = (
    "seed",
    "logprobs",
    *WHOLE_DISTRIBUTION,
    *CONTINUE_REPLY,
    "chat_template_kwargs",
    "include_stop_str_in_output",
    "min_tokens",
    "return_token_ids",
    "skip_special_tokens",
)
"""Fields that a server may reject for any reason; they are then left out."""

NEEDED = ("stop", "temperature", "top_p")
"""Fields that are left out only where the server says that it never takes them, as for OpenAI's thinking models."""

UNSUPPORTED = re.compile(r"unsupported|(not|n't) (be )?support|unrecogni[sz]ed|unknown|not permitted", re.IGNORECASE)

RENAMED = re.compile(r"max_completion_tokens\W{0,3} instead", re.IGNORECASE)
"""How OpenAI's newer models say what they call `max_tokens`."""

PREFILL_REFUSED = re.compile(r"prefill|last role|end with a user message", re.IGNORECASE)
"""How servers say that the last message must not be the assistant's."""

TRAILING_BLANKS_REFUSED = re.compile(r"trailing white ?space", re.IGNORECASE)
"""How Anthropic says that an unfinished message must not end with blanks."""

SYSTEM_REFUSED = re.compile(r"\bsystem\b|developer instruction|roles must alternate", re.IGNORECASE)
"""How servers say that there must be no system message: in the words of the chat template (Gemma 2, Mistral), or in
their own (Gemini)."""

OVERFLOW = re.compile(
    r"context.{0,20}(length|size|window)|exceed_context|max(imum)?[ _](model[ _]|input[ _]|prompt[ _])?len"
    r"|prompt is too long|too many (input )?tokens|max_(completion_)?tokens.{0,40}too (large|big|high)"
    r"|maximum (allowed )?number of (output )?tokens|valid range of max_tokens|reduce the length"
    r"|`inputs`.{0,40}must (be|have)",
    re.IGNORECASE,
)
"""How servers say that prompt and step do not fit. The last is TGI's and Together's."""


class Dialect:
    """The fields that one server takes, and how it says where it stopped."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        """The fields that the server rejects."""
        self.renames_limit = False
        """Whether it calls `max_tokens` `max_completion_tokens`."""
        self.trims_replies = False
        """Whether an unfinished message must not end with blanks."""
        self.folds_system = False
        """Whether the system message is put before the first question."""
        self.thinking_off = False
        """Whether the chat template is told that the model is not to think."""
        self.names_whole_nucleus = True
        """Whether a `top_p` of 1 is sent; another one always is."""
        self.shows_thoughts = False
        """Whether the model was seen to think, whatever its name."""
        self.counts_tokens = True
        """Whether its answers say how many tokens they have."""
        self.tells_stops = False
        """Whether a stop string leaves a trace: the server names it, or keeps it in the text."""

    def spoken(self, body: dict[str, Any]) -> dict[str, Any]:
        """`body` with the fields that the server takes."""
        if self.thinking_off and "messages" in body:
            body = {"chat_template_kwargs": {"enable_thinking": False}, **body}
        if self.folds_system and has_system(body):
            body = {**body, "messages": fold_system(body["messages"])}
        if self.trims_replies and "messages" in body and body["messages"][-1]["role"] == "assistant":
            last = body["messages"][-1]
            body = {**body, "messages": [*body["messages"][:-1], {**last, "content": last["content"].rstrip()}]}
        taken = {name: value for name, value in body.items() if name not in self.refused}
        if not self.names_whole_nucleus and is_whole_nucleus(taken):
            del taken["top_p"]
        if self.renames_limit:
            taken["max_completion_tokens"] = taken.pop("max_tokens")
        return taken

    def learn_refusal(self, message: str, body: dict[str, Any]) -> bool:
        """Note what of `body`, as it was sent, the server refuses with `message`; False if that is nothing new."""
        words = set(re.findall(r"\w+", message))
        if "max_tokens" in body and RENAMED.search(message):
            self.renames_limit = True
            return True
        if TRAILING_BLANKS_REFUSED.search(message) and not self.trims_replies:
            self.trims_replies = True
            return True
        if SYSTEM_REFUSED.search(message) and has_system(body) and not self.folds_system:
            self.folds_system = True
            return True
        if "enable_thinking" in words and "messages" in body and not self.thinking_off:
            self.thinking_off = True
            return True
        if "top_p" in words and is_whole_nucleus(body) and not UNSUPPORTED.search(message):
            self.names_whole_nucleus = False
            return True
        unwanted = words.intersection(OPTIONAL, body)
        if UNSUPPORTED.search(message):
            unwanted |= words.intersection(NEEDED, body)
        self.refused |= unwanted
        return bool(unwanted)

    def learn_answer(self, completion: Completion, body: dict[str, Any]) -> None:
        """Note whether `completion`, the answer to `body`, shows where the server stops, counts its tokens, and has a
        thought."""
        self.shows_thoughts |= bool(completion.thought) or completion.text.lstrip().startswith("<think>")
        self.counts_tokens = self.counts_tokens and (completion.tokens > 0 or not completion.text)
        kept = completion.finished and any(completion.text.endswith(stop) for stop in body.get("stop", ()))
        self.tells_stops = self.tells_stops or completion.names_stops or kept


def is_whole_nucleus(body: dict[str, Any]) -> bool:
    """Whether `body` only says that nothing is cut off. TGI refuses that: its `top_p` is below 1."""
    return body.get("top_p") == 1


def has_system(body: dict[str, Any]) -> bool:
    return any(message["role"] == "system" for message in body.get("messages", ()))
