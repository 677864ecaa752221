"""The discriminative baseline: a conversation in which every chunk is a user's turn and is answered with + or -.

The rows are made by the convention of RLHFlow's reward models, which also scores with the trained model: all earlier
answers are +, as when it is used, and only the last one is learned, so that classes can be balanced by chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from treestar.policy.models import load_tokenizer
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.choose import KIND_KEY
from treestar.ppm.public.rlhflow import RLHFlowPRM
from treestar.training.base_policy import Base
from treestar.training.judge.data import Example, Prompts
from treestar.training.sft.data import NO_LOSS, TokenRow
from treestar.types import TreestarError

__all__ = ["SCORED_AS", "discriminative_rows", "write_template"]

SCORED_AS = {KIND_KEY: RLHFlowPRM.kind}
"""What the trained model's config.json says, so that `load_scorer` recognizes it."""

TURNS = (
    "{% for message in messages %}<|{{ message.role }}|>:\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>:\n{% endif %}"
)
"""The chat template of a model that has none."""


def discriminative_rows(examples: Iterable[Example], prompts: Prompts) -> list[TokenRow]:
    """A row for each chunk that is not blank.

    Raises:
        TreestarError: the tokenizer has no single token for + or -, or its chat template refuses the conversation.
    """
    convention = convention_of(prompts.base)
    rows = []
    for example in examples:
        question, chunks = prompts.question_and_chunks(example.state)
        if not chunks:
            continue
        marked = convention.marked(question, chunks)
        answer = convention.right if example.label else convention.wrong
        rows.append(TokenRow((*marked.ids, answer), (*[NO_LOSS] * len(marked.ids), answer)))
    return rows


def convention_of(base: Base) -> RLHFlowPRM:
    checkpoint = Checkpoint(base.name, base.path, base.config.to_dict())
    checkpoint.__dict__["tokenizer"] = with_template(deepcopy(base.tokenizer))  # as `cached_property` keeps it
    convention = RLHFlowPRM(checkpoint)
    for sign, token in (("+", convention.right), ("-", convention.wrong)):
        if checkpoint.tokenizer.decode([token]).strip() != sign:
            raise TreestarError(
                f"policy {base.name!r} cannot become a discriminative judge: its tokenizer has no token for {sign!r}"
            )
    return convention


def with_template(tokenizer: Any) -> Any:
    """The tokenizer, with a chat template if it has none."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = TURNS
    return tokenizer


def write_template(folder: Path) -> None:
    """Give the tokenizer in `folder` the chat template with which the model was trained."""
    with_template(load_tokenizer(str(folder))).save_pretrained(folder)
