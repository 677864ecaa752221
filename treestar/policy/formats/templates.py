"""Chat templates: from messages to the text after which the reply begins, whatever the template can take.

Templates differ in what they accept: some have no system role, some require that roles alternate, some write the day's
date. The text is rendered once for a problem, and everything that follows is appended as it is: a template that renders
an unfinished reply changes it (trailing blank lines are cut, thoughts are dropped).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from treestar.policy.formats.step_format import Message
from treestar.types import TreestarError, first_line

__all__ = ["ChatTemplate", "fold_system", "missing_bos", "plain_template", "template_of", "template_text"]

ChatTemplate = Callable[[list[Message]], str]
"""Renders messages to the text after which the assistant's reply begins."""

FIXED_DATE = datetime(2024, 7, 26)
"""The date that templates write instead of today's, so that prompts, caches and results do not change every day. It is
the one that Llama 3's template writes by default."""


def template_of(tokenizer: Any, thinks: bool = False) -> ChatTemplate:
    """The tokenizer's chat template, or `plain_template` where it has none.

    Args:
        thinks: what a template that can render either way is told: it lets the model think unless told otherwise.
    """
    options = {"enable_thinking": thinks} if "enable_thinking" in (template_text(tokenizer) or "") else {}
    return plain_template if tokenizer.chat_template is None else partial(render, tokenizer, options)


def template_text(tokenizer: Any) -> str | None:
    """The text of the tokenizer's chat template; None where it has none. Of several (Hermes and Command R have others
    for tools) it is the default one, which `template_of` renders."""
    written: str | dict[str, str] | None = tokenizer.chat_template
    return written.get("default") if isinstance(written, dict) else written


def render(tokenizer: Any, options: dict[str, Any], messages: list[Message]) -> str:
    """The messages as text. Where the template refuses a system message or leaves it out, it is put before the first
    message of the user.

    Raises:
        TreestarError: the template cannot render the messages either way.
    """
    reason = ""
    for attempt in (messages, fold_system(messages)):
        try:
            text = str(
                tokenizer.apply_chat_template(
                    attempt, tokenize=False, add_generation_prompt=True, strftime_now=FIXED_DATE.strftime, **options
                )
            )
        except Exception as error:  # a template may raise anything
            reason = first_line(error)
            continue
        if all(each["content"].strip() in text for each in (attempt[0], attempt[-1])):
            return text
        reason = "it leaves out the question"
    raise TreestarError(
        f"the chat template of {tokenizer.name_or_path or 'the model'} cannot be used: {reason}. Correct its "
        "chat_template, or choose --step-format rstar if the model needs none"
    )


def fold_system(messages: list[Message]) -> list[Message]:
    """The messages without a system role: its text is put before the first message of the user."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not system or not others:
        return others
    first = {**others[0], "content": "\n\n".join([*system, others[0]["content"]])}
    return [first, *others[1:]]


def plain_template(messages: list[Message]) -> str:
    """The messages for a model that has no chat template, as text in the style of the rstar format."""
    texts = [
        f"<|{message['role']}|>: {message['content']}"
        if message["role"] != "user"
        else f"<|user|>:\n{message['content']}"
        for message in messages
    ]
    return "\n".join(texts) + "\n<|assistant|>: "


def missing_bos(tokenizer: Any, ids: list[int]) -> list[int]:
    """What must come before the tokens of a prompt so that it begins with exactly one beginning-of-sequence token: that
    token if the tokenizer begins its texts with one and the prompt (from a chat template) does not; else nothing."""
    bos = tokenizer.bos_token_id
    if bos is None or ids[:1] == [bos]:
        return []
    return [bos] if list(tokenizer("a", verbose=False)["input_ids"])[:1] == [bos] else []
