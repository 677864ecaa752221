"""Which tokens end a reply, from files of a model that do not agree on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.tiny_model import byte_tokenizer, tiny_model

from treestar.policy import TransformersPolicy
from treestar.policy.backends.end_tokens import end_tokens
from treestar.policy.formats import INSTRUCT, CotFormat, RStarFormat, StepFormat
from treestar.policy.formats.templates import plain_template, template_of

TURN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<s>\n{% endfor %}"


def tokenizer_with(template: str | None) -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = "<end_of_code>"
    tokenizer.chat_template = template
    return tokenizer


def named(tokenizer: Any, tokens: set[int]) -> set[str]:
    return set(tokenizer.convert_ids_to_tokens(sorted(tokens)))


@pytest.mark.parametrize(
    ("template", "generation", "ends"),
    [
        (TURN, None, {"<s>"}),
        (TURN, SimpleNamespace(eos_token_id=65), {"<s>", "b"}),
        (TURN, SimpleNamespace(eos_token_id=[65, 66]), {"<s>", "b", "c"}),
        ("{% for m in messages %}{{ m.content }}\n{% endfor %}", None, set()),
        ("{{ raise_exception('no') }}", None, set()),
        ("no messages<s>", None, set()),
        (None, None, set()),
    ],
)
def test_a_turn_ends_as_the_chat_template_ends_it(template: str | None, generation: Any, ends: set[str]) -> None:
    tokenizer = tokenizer_with(template)
    byte = {"b": tokenizer.convert_ids_to_tokens(65), "c": tokenizer.convert_ids_to_tokens(66)}
    expected = {"<|endoftext|>", "<end_of_code>"} | {byte.get(end, end) for end in ends}
    form = CotFormat(template_of(tokenizer), INSTRUCT)
    assert named(tokenizer, end_tokens(tokenizer, form, generation)) == expected


@pytest.mark.parametrize(("form", "stops"), [(CotFormat(plain_template, INSTRUCT), True), (RStarFormat(), False)])
def test_a_policy_stops_where_its_template_ends_a_turn(form: StepFormat, stops: bool) -> None:
    tokenizer = tokenizer_with(TURN)
    policy = TransformersPolicy(tiny_model()[0], tokenizer, form, "tiny")
    assert (tokenizer.convert_tokens_to_ids("<s>") in policy.generator.end_tokens) == stops
    assert tokenizer.eos_token_id in policy.generator.end_tokens
