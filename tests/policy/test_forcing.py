"""Budget forcing: the exact tokens that are written for a model, also a real one, and budgets that always hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import byte_tokenizer

from treestar.policy import TransformersPolicy
from treestar.policy.backends.forcing import forced_step, forcing_for
from treestar.policy.backends.generated import Generated
from treestar.policy.backends.prompt_tokens import encode, prompt_tokens
from treestar.policy.formats import INSTRUCT, CotFormat, ThinkingFormat
from treestar.policy.formats.templates import template_of
from treestar.types import ContextOverflow, Execution, Problem, Sampling, State, Step, ThinkingBudget, TreestarError

CONTEXT = 400
PROBLEM = Problem("1 + 1?")


def thinking_tokenizer(begins_thoughts: bool = True) -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    if begins_thoughts:
        tokenizer.chat_template += "<think>\n"
    return tokenizer


TOKENIZER = thinking_tokenizer()
OPENING, CLOSING = encode(TOKENIZER, "<think>")[0], encode(TOKENIZER, "</think>")[0]
FINAL = [CLOSING, *encode(TOKENIZER, "\n\nFinal Answer:")]
WAIT = encode(TOKENIZER, "Wait")


def format_of(tokenizer: Any) -> ThinkingFormat:
    return ThinkingFormat(template_of(tokenizer), INSTRUCT, context=CONTEXT)


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        eos_token_id=TOKENIZER.eos_token_id,
        pad_token_id=TOKENIZER.eos_token_id,
        bos_token_id=None,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def steps_of(policy: TransformersPolicy, sampling: Sampling, count: int) -> State:
    """The state after `count` steps, or after the step that answers."""
    state = State(PROBLEM)
    for seed in range(count):
        proposal = asyncio.run(policy.propose(state, 1, sampling, seed))
        state = State(PROBLEM, (*state.steps, *proposal.steps), (*state.executions, Execution()))
        if proposal.steps[0].ending != "step":
            break
    return state


def reply_ids(state: State) -> list[int]:
    return [token for step in state.steps for token in step.token_ids]


@pytest.mark.parametrize("most", [0, 1, 30])
def test_a_real_models_thought_ends_at_its_limit_with_the_closing_token(model: Any, most: int) -> None:
    policy = TransformersPolicy(model, TOKENIZER, format_of(TOKENIZER), "tiny")
    state = steps_of(policy, Sampling(0.0, 1.0, 60, thinking=ThinkingBudget(max_tokens=most)), 3)
    ids = reply_ids(state)
    assert ids.index(CLOSING) == most
    assert ids[most : most + len(FINAL)] == FINAL
    assert len(ids) > most + len(FINAL), "it goes on with the answer"
    assert sum(step.tokens for step in state.steps) == len(ids) - len(FINAL), "written tokens cost nothing"
    assert TOKENIZER.decode(ids) == "".join(step.text for step in state.steps)


def test_a_real_models_end_is_taken_back_and_it_waits(model: Any) -> None:
    """The third token that the model prefers becomes the closing one, by exchanging their weights."""
    import copy

    import torch

    policy = TransformersPolicy(model, TOKENIZER, format_of(TOKENIZER), "tiny")
    preferred = reply_ids(steps_of(policy, Sampling(0.0, 1.0, 12, thinking=ThinkingBudget(max_tokens=10)), 1))[2]
    ends = copy.deepcopy(model)
    with torch.no_grad():
        for weights in (ends.lm_head.weight, ends.model.embed_tokens.weight):
            weights[[preferred, CLOSING]] = weights[[CLOSING, preferred]].clone()
    policy = TransformersPolicy(ends, TOKENIZER, format_of(TOKENIZER), "ends")
    free = reply_ids(steps_of(policy, Sampling(0.0, 1.0, 40, thinking=ThinkingBudget(max_tokens=100)), 1))
    end = free.index(CLOSING)
    assert end <= 2
    waited = steps_of(policy, Sampling(0.0, 1.0, 40, thinking=ThinkingBudget(max_tokens=100, waits=1)), 1)
    assert reply_ids(waited) == [*free[:end], *WAIT]
    assert waited.steps[0].text.endswith("Wait")
    assert waited.steps[0].ending == "step"


def run_scripted(
    texts: list[list[int]], budget: ThinkingBudget, tokenizer: Any = TOKENIZER, context: float = CONTEXT, step: int = 50
) -> tuple[list[int], list[Step]]:
    """The reply's ids and the steps, from a model that would write `texts` one after another."""
    left = list(texts)
    form = format_of(tokenizer)
    forcing = forcing_for(budget, tokenizer, form, context, "scripted")

    async def generate(ids: list[int], limit: int, stops: tuple[str, ...], part: int) -> Generated:
        assert limit >= 1
        assert len(ids) + limit <= context
        if not left:
            return Generated("", True, 1, 0.0)
        wanted = left.pop(0)
        if CLOSING in wanted and stops:
            place = wanted.index(CLOSING) + 1
            if wanted[place:]:
                left.insert(0, wanted[place:])
            wanted = wanted[:place]
        if wanted[limit:]:
            left.insert(0, wanted[limit:])
        return Generated("", False, len(wanted[:limit]), 0.0, tuple(wanted[:limit]))

    state = State(PROBLEM)
    ended = False
    while not ended and len(state.steps) < 40:
        prompt = prompt_tokens(tokenizer, form, state)
        try:
            made, _ = asyncio.run(forced_step(generate, forcing, tokenizer, form, state, prompt, step))
        except ContextOverflow:
            break
        ended = made.ended
        one = Step(made.text, tokens=made.tokens, token_ids=made.token_ids)
        state = State(PROBLEM, (*state.steps, one), (*state.executions, Execution()))
    return reply_ids(state), list(state.steps)


def ids_of(text: str) -> list[int]:
    return encode(TOKENIZER, text)


def test_waits_come_before_the_end_is_accepted() -> None:
    texts = [ids_of("a</think>"), ids_of(", b</think>"), ids_of(" c</think>"), ids_of("\n\n2")]
    ids, steps = run_scripted(texts, ThinkingBudget(waits=2))
    assert TOKENIZER.decode(ids) == "aWait, bWait c</think>\n\n2"
    assert [step.text for step in steps][:2] == ["aWait", ", bWait"]


def test_a_thought_shorter_than_its_minimum_goes_on() -> None:
    ids, _ = run_scripted(
        [ids_of("abc</think>"), ids_of("defgh</think>"), ids_of("\n\n2")], ThinkingBudget(min_tokens=9)
    )
    assert TOKENIZER.decode(ids) == "abcWaitdefgh</think>\n\n2"


def test_the_limit_is_stronger_than_waits() -> None:
    ids, _ = run_scripted([ids_of("abcdef</think>"), ids_of(" 2")], ThinkingBudget(max_tokens=8, waits=3))
    assert TOKENIZER.decode(ids) == "abcdef</think> 2"


def test_the_closing_text_in_ordinary_tokens_does_not_end_a_thought() -> None:
    letters = [token for letter in "</think>" for token in ids_of(letter)]
    assert CLOSING not in letters
    ids, _ = run_scripted([letters, ids_of("abcdef")], ThinkingBudget(max_tokens=12))
    assert ids[12 : 12 + len(FINAL)] == FINAL


def test_a_thought_is_begun_where_the_template_does_not() -> None:
    tokenizer = thinking_tokenizer(begins_thoughts=False)
    ids, _ = run_scripted([ids_of("abcdef"), ids_of(" 2")], ThinkingBudget(max_tokens=5), tokenizer)
    assert ids == [OPENING, *ids_of("\nabcd"), *FINAL, *ids_of("ef 2")]


def test_a_model_that_stops_within_its_thought_is_made_to_answer() -> None:
    ids, _ = run_scripted([ids_of("ab")], ThinkingBudget(max_tokens=20))
    assert ids == [*ids_of("ab"), *FINAL]


def test_a_thought_leaves_a_tenth_of_the_context_to_the_answer() -> None:
    asked = len(prompt_tokens(TOKENIZER, format_of(TOKENIZER), State(PROBLEM)))
    ids, _ = run_scripted([ids_of("x" * 1000)], ThinkingBudget(), context=300, step=1000)
    assert asked + ids.index(CLOSING) == 0.9 * 300


pieces = st.lists(st.sampled_from(["ab", "c\n\n", "</think>", "d" * 9, "Wait"]), min_size=1, max_size=12)


def test_the_answer_to_a_question_that_was_put_in_follows_the_whole_prompt() -> None:
    form = format_of(TOKENIZER)
    step = Step("loop\n", ending="endless", token_ids=tuple(ids_of("loop\n")))
    state = State(PROBLEM, (step,), (Execution(),))
    prompt = prompt_tokens(TOKENIZER, form, state)
    asked: list[list[int]] = []

    async def generate(ids: list[int], limit: int, stops: tuple[str, ...], part: int) -> Generated:
        asked.append(ids)
        return Generated("", True, 2, 0.0, tuple(ids_of("2}")))

    forcing = forcing_for(ThinkingBudget(max_tokens=2), TOKENIZER, form, CONTEXT, "scripted")
    made, is_forced = asyncio.run(forced_step(generate, forcing, TOKENIZER, form, state, prompt, 50))
    assert asked == [prompt]
    assert (made.text, is_forced) == ("2}", False)


@settings(max_examples=60)
@given(pieces, st.integers(0, 40), st.integers(0, 40), st.integers(0, 3), st.integers(1, 20))
def test_a_thought_is_never_longer_than_its_budget(
    texts: list[str], most: int, least: int, waits: int, step: int
) -> None:
    budget = ThinkingBudget(max_tokens=most, min_tokens=least, waits=waits)
    ids, _ = run_scripted([ids_of(text) for text in texts], budget, step=step)
    assert (ids.index(CLOSING) if CLOSING in ids else len(ids)) <= most


def test_models_that_do_not_think_say_so(model: Any) -> None:
    sampling = Sampling(0.0, 1.0, 20, thinking=ThinkingBudget(max_tokens=5))
    plain = TransformersPolicy(model, TOKENIZER, CotFormat(template_of(TOKENIZER), INSTRUCT), "plain")
    with pytest.raises(TreestarError, match="plain writes in the format cot"):
        asyncio.run(plain.propose(State(PROBLEM), 1, sampling, 0))
    with pytest.raises(TreestarError, match="other does not have"):
        forcing_for(ThinkingBudget(), byte_tokenizer(), format_of(byte_tokenizer()), CONTEXT, "other")
