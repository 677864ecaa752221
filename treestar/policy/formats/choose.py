"""Which step format a model writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from treestar.policy.formats.bound import BoundFormat
from treestar.policy.formats.chat import ChatFormat, ChatTemplate, plain_template
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import END_OF_STEP, FormatName, Message, StepFormat
from treestar.types import TreestarError

__all__ = ["step_format_for", "step_format_named"]

FORMATS: dict[str, Callable[[ChatTemplate], StepFormat]] = {
    "rstar": lambda _: RStarFormat(),
    "bound": lambda _: BoundFormat(),
    "chat": ChatFormat,
}
"""Every format by its name, made from the model's chat template, which most do not need."""


def step_format_named(name: str, template: ChatTemplate = plain_template) -> StepFormat:
    """The step format of that name.

    Args:
        template: renders messages, for formats that need a chat template; a server applies the model's own.

    Raises:
        TreestarError: there is no such format.
    """
    if name not in FORMATS:
        raise TreestarError(f"there is no step format {name!r}: it is one of {', '.join(FORMATS)}")
    return FORMATS[name](template)


def step_format_for(config: Any, tokenizer: Any, wanted: FormatName | None = None) -> StepFormat:
    """The step format that a model writes.

    `wanted` if given; else what the model's config.json says under `treestar_format`; else `rstar` for a tokenizer that
    has the format's tags as tokens; else `chat`, with the model's chat template where it has one.

    Args:
        config, tokenizer: the model's transformers configuration and tokenizer.

    Raises:
        TreestarError: the config.json names a format that does not exist.
    """
    name = wanted or getattr(config, "treestar_format", None)
    if name is None:
        name = "rstar" if END_OF_STEP in tokenizer.get_vocab() else "chat"
    return step_format_named(name, plain_template if tokenizer.chat_template is None else partial(render, tokenizer))


def render(tokenizer: Any, messages: list[Message]) -> str:
    """The messages rendered by the tokenizer's chat template, up to where the reply begins."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
