"""Which step format a model writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from treestar.policy.formats.bound import BoundFormat
from treestar.policy.formats.chat import ChatFormat
from treestar.policy.formats.chunk import ChunkFormat
from treestar.policy.formats.code import CodeFormat
from treestar.policy.formats.cot import CotFormat
from treestar.policy.formats.families import INSTRUCT, Family, family_of
from treestar.policy.formats.retrieval import RetrievalFormat
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import END_OF_STEP, FormatName, StepFormat
from treestar.policy.formats.templates import ChatTemplate, plain_template, template_of, template_text
from treestar.policy.formats.thinking import ThinkingFormat
from treestar.policy.formats.tir import TirFormat
from treestar.policy.models.text_config import text_config
from treestar.types import TreestarError

__all__ = ["same_steps", "step_format_for", "step_format_named"]

Making = Callable[[ChatTemplate, Family, "str | None", "int | None"], StepFormat]

FORMATS: dict[str, Making] = {
    "rstar": lambda *_: RStarFormat(),
    "bound": lambda *_: BoundFormat(),
    "chat": lambda template, *_: ChatFormat(template),
    "cot": CotFormat,
    "tir": TirFormat,
    "thinking": ThinkingFormat,
    "chunk": ChunkFormat,
    "code": CodeFormat,
    "retrieval": RetrievalFormat,
}
"""Every format by its name, made from the model's chat template, its family, the step separator and the context."""

OF_THEIR_OWN = ("rstar", "bound")
"""Formats that their models write whatever the problem; those of the others write programs as `code`."""

SAME_STEPS = frozenset(("rstar", "chat"))
"""Formats whose steps and tags are the same: only their prompts differ."""

SEPARATED = ("cot", "tir", "thinking")
"""Formats whose steps a separator ends."""

SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p")


def step_format_named(
    name: str,
    template: ChatTemplate = plain_template,
    family: Family = INSTRUCT,
    separator: str | None = None,
    context: int | None = None,
    is_base: bool = False,
) -> StepFormat:
    """The step format of that name.

    Args:
        template: renders messages, for formats that need a chat template; a server applies the model's own.
        family: for formats of prose, what the model's family wants to be asked.
        separator: for formats of prose, the text that ends a step; None: a blank line.
        context: the model's maximum number of tokens; None: unknown.
        is_base: the model has no chat template and continues texts; this changes how programs are asked for.

    Raises:
        TreestarError: there is no such format, or it does not end its steps at a separator, and one is given.
    """
    if name not in FORMATS:
        raise TreestarError(f"there is no step format {name!r}: it is one of {', '.join(FORMATS)}")
    if separator is not None and name not in SEPARATED:
        raise TreestarError(
            f"a step separator is for the step formats {', '.join(SEPARATED)}, and the model writes in the format "
            f"{name}: leave it out, or choose one of these formats"
        )
    if separator == "":
        raise TreestarError("the step separator is empty: give the text that ends a step, or leave it out")
    code = CodeFormat(template, family, None, context, is_base)
    if name == "code":
        return code
    made = FORMATS[name](template, family, separator, context)
    made.code_format = None if name in OF_THEIR_OWN else code
    return made


def same_steps(one: str, other: str) -> bool:
    """Whether two formats write the same steps, so that a trajectory in one of them can be taught in the other."""
    return one == other or {one, other} <= SAME_STEPS


def step_format_for(
    config: Any, tokenizer: Any, wanted: FormatName | None = None, generation: Any = None, separator: str | None = None
) -> StepFormat:
    """The step format that a model writes.

    `wanted` if given; else what the model's config.json says under `treestar_format`; else `rstar` for a tokenizer that
    has the format's tags as tokens; else, for a model with a chat template, what its family writes (`cot` or
    `thinking`); else `chat`, whose examples show a base model what to write.

    Args:
        config, tokenizer: the model's transformers configuration and tokenizer.
        generation: its `GenerationConfig`, whose sampling is recommended before that of its family.
        separator: as for `step_format_named`.

    Raises:
        TreestarError: the config.json names a format that does not exist.
    """
    written = template_text(tokenizer)
    family = with_sampling(family_of(written, str(getattr(config, "_name_or_path", ""))), generation)
    name = wanted or getattr(config, "treestar_format", None)
    if name is None:
        is_rstar = END_OF_STEP in tokenizer.get_vocab()
        name = "rstar" if is_rstar else "chat" if written is None else family.format
    template = template_of(tokenizer, thinks=name == "thinking")
    context = getattr(text_config(config), "max_position_embeddings", None)
    return step_format_named(name, template, family, separator, context, written is None)


def with_sampling(family: Family, generation: Any) -> Family:
    """The family with the sampling that the model's own generation_config asks for, where it asks for sampling."""
    if generation is None or not getattr(generation, "do_sample", False):
        return family
    own = {name: getattr(generation, name, None) for name in SAMPLING_FIELDS}
    return replace(
        family, sampling={**family.sampling, **{name: value for name, value in own.items() if value is not None}}
    )
