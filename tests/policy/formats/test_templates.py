"""Prompts through chat templates: whatever a template can take, one beginning-of-sequence token, fixed dates."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny_model import tiny_model

from treestar.policy.formats import INSTRUCT, CotFormat, Message, missing_bos, step_format_for
from treestar.policy.formats.templates import fold_system, template_of
from treestar.types import Problem, State, TreestarError

LOOP = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + LOOP
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}" + LOOP
)
DROPS_SYSTEM = "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
TRIMS = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}[assistant]"

MESSAGES: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": " 2 + 2? "},
]


def tokenizer_with(template: str | None) -> Any:
    import copy

    tokenizer = copy.deepcopy(tiny_model()[1])
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", [NO_SYSTEM, ALTERNATES, DROPS_SYSTEM])
def test_a_template_without_a_system_role_gets_it_in_the_first_question(template: str) -> None:
    rendered = template_of(tokenizer_with(template))(MESSAGES)
    assert rendered == "[user]Be brief.\n\n1 + 1?[assistant]2[user] 2 + 2? [assistant]"


def test_a_template_with_one_is_left_alone() -> None:
    rendered = template_of(tokenizer_with(TRIMS))(MESSAGES)
    assert rendered == "[system]Be brief.[user]1 + 1?[assistant]2[user]2 + 2?[assistant]"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('never') }}", "never"),
        ("{{ messages[0].nothing.at_all }}", "nothing"),
        ("{% for m in messages %}", "endfor|Unexpected end"),
        ("[assistant]", "leaves out the question"),
    ],
)
def test_a_broken_template_is_one_sentence(template: str, reason: str) -> None:
    with pytest.raises(TreestarError, match=reason) as caught:
        template_of(tokenizer_with(template))(MESSAGES)
    assert "\n" not in str(caught.value)
    assert "step-format" in str(caught.value)


def test_only_a_system_message_stays_where_it_is() -> None:
    assert fold_system(MESSAGES[:1]) == []
    assert fold_system(MESSAGES[1:2]) == MESSAGES[1:2]


def test_the_date_does_not_change_prompts() -> None:
    dated = "{{ strftime_now('%d %b %Y') }}" + LOOP
    assert template_of(tokenizer_with(dated))(MESSAGES).startswith("26 Jul 2024[system]")


def with_bos(template: str | None) -> Any:
    """The tiny tokenizer with a beginning-of-sequence token that it puts before every text."""
    from tokenizers import processors

    tokenizer = tokenizer_with(template)
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    bos = tokenizer.convert_tokens_to_ids("<bos>")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", bos)]
    )
    return tokenizer


@pytest.mark.parametrize("template", [LOOP, "<bos>" + LOOP, "{{ bos_token }}" + LOOP, None])
@pytest.mark.parametrize("wanted", ["cot", "rstar", "chat"])
def test_a_prompt_begins_with_exactly_one_bos(template: str | None, wanted: Any) -> None:
    tokenizer = with_bos(template)
    prompt = step_format_for(object(), tokenizer, wanted).prompt(State(Problem("1 + 1?")))
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = missing_bos(tokenizer, ids) + ids
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id


def test_a_tokenizer_that_begins_with_nothing_gets_nothing() -> None:
    tokenizer = tokenizer_with(LOOP)
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    assert missing_bos(tokenizer, [1, 2]) == []
    assert missing_bos(tiny_model()[1], [1, 2]) == []


def test_messages_are_the_same_for_a_server_and_the_template() -> None:
    asked: list[list[Message]] = []

    def template(messages: list[Message]) -> str:
        asked.append(messages)
        return "prompt"

    step_format = CotFormat(template, INSTRUCT)
    assert step_format.prompt(State(Problem("1 + 1?"))) == "prompt"
    assert asked == [step_format.messages(State(Problem("1 + 1?")))]
