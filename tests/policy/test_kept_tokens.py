"""Formats of prose on real models: what the model reads is exactly what it generated, token by token."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.paths import SHARED, needs_shared
from support.tiny_model import tiny_model

from treestar.policy import TransformersPolicy
from treestar.policy.formats import INSTRUCT, CotFormat, StepFormat, TirFormat, step_format_for
from treestar.types import Execution, Problem, Sampling, State, Step

QUESTION = Problem("2 + 2?")
NEW = 96


def policy_of(step_format: StepFormat, model: Any, tokenizer: Any) -> TransformersPolicy:
    return TransformersPolicy(model, tokenizer, step_format, "tiny")


def generated(model: Any, prompt: list[int], new: int) -> list[int]:
    """Greedy tokens as transformers' own `generate` gives them."""
    import torch

    ids = model.generate(torch.tensor([prompt]), max_new_tokens=new, do_sample=False)[0].tolist()
    return list(ids[len(prompt) :])


def steps_until(policy: TransformersPolicy, tokens: int) -> State:
    """The state after greedy steps of together about `tokens` tokens."""
    state = State(QUESTION)
    while sum(step.tokens for step in state.steps) < tokens and (not state.steps or state.steps[-1].ending == "step"):
        proposal = asyncio.run(policy.propose(state, 1, Sampling(0.0, max_tokens=32), 0))
        state = State(QUESTION, (*state.steps, proposal.steps[0]), (*state.executions, Execution()))
    return state


@pytest.fixture(scope="module")
def separators() -> list[str]:
    """Characters that the tiny model's greedy reply has in it, so that it is cut often and anywhere."""
    model, tokenizer = tiny_model()
    step_format = CotFormat(lambda messages: messages[-1]["content"], INSTRUCT)
    prompt = policy_of(step_format, model, tokenizer).prompt_tokens(State(QUESTION))
    text = tokenizer.decode(generated(model, prompt, NEW))
    found = [letter for letter in dict.fromkeys(text) if letter.isascii() and letter.isalnum()]
    assert len(found) >= 3
    return found[:3]


def test_steps_joined_are_what_generate_writes_and_the_prompt_has_its_tokens(separators: list[str]) -> None:
    model, tokenizer = tiny_model()
    for separator in separators:
        step_format = CotFormat(lambda messages: messages[-1]["content"], INSTRUCT, separator)
        policy = policy_of(step_format, model, tokenizer)
        opening = policy.prompt_tokens(State(QUESTION))
        state = steps_until(policy, NEW)
        ids = [token for step in state.steps for token in step.token_ids]
        assert len(state.steps) > 1
        assert ids == generated(model, opening, len(ids))
        assert policy.prompt_tokens(state) == opening + ids
        assert step_format.reply(state) == tokenizer.decode(ids)


def test_a_step_is_continued_where_its_stop_string_ends_nothing() -> None:
    model, tokenizer = tiny_model()
    plain = CotFormat(lambda messages: messages[-1]["content"], INSTRUCT)
    text = tokenizer.decode(generated(model, policy_of(plain, model, tokenizer).prompt_tokens(State(QUESTION)), 40))
    letter = next(each for each in text[1:] if each.isascii() and each.isalnum())

    class Patient(CotFormat):
        """Ends a step only at the third separator."""

        def goes_on(self, text: str) -> bool:
            return text.count(self.separator) < 3

        def parse(self, state: State, text: str, ended: bool) -> Step:
            return Step(text, ending="truncated" if self.goes_on(text) else "step")

    policy = policy_of(Patient(plain.template, INSTRUCT, letter), model, tokenizer)
    sampling = Sampling(1.0, max_tokens=400)
    sampled, again = (asyncio.run(policy.propose(State(QUESTION), 16, sampling, 5)) for _ in range(2))
    alone = asyncio.run(policy.propose(State(QUESTION), 1, sampling, 5))
    texts = [step.text for step in sampled.steps]
    assert texts == [step.text for step in again.steps]
    assert texts[0] == alone.steps[0].text
    assert sampled.generated_tokens == sum(step.tokens for step in sampled.steps)
    assert any(step.ending == "step" for step in sampled.steps)


@pytest.fixture(scope="module")
def qwen() -> Any:
    """A tiny random Qwen3 with the real tokenizer: (model, tokenizer)."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from treestar.policy.models import load_tokenizer

    tokenizer = load_tokenizer(str(SHARED / "tokenizers" / "qwen3"))
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    return Qwen3ForCausalLM(config).eval(), tokenizer


@needs_shared("tokenizers/qwen3")
def test_prompt_and_continuation_ids_of_qwen(qwen: Any) -> None:
    model, tokenizer = qwen
    policy = policy_of(step_format_for(model.config, tokenizer, "cot"), model, tokenizer)

    def plain(text: str) -> list[int]:
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    asked = "user\n2 + 2?\nPlease reason step by step, and put your final answer within \\boxed{}."
    start, end, newline = 151644, 151645, 198
    thought = [151667, 271, 151668, 271]  # <think>\n\n</think>\n\n: a model that can think is told not to
    opening = [start, *plain(asked), end, newline, start, *plain("assistant\n"), *thought]
    assert policy.prompt_tokens(State(QUESTION)) == opening

    # One token ends sentence and paragraph; tokenized apart, they would be two.
    kept = (*plain("That is four"), 382)
    assert plain(".") + plain("\n\n") == [13, 271]
    assert tokenizer.decode(list(kept)) == "That is four.\n\n"
    step = Step("That is four.\n\n", token_ids=kept)
    assert policy.prompt_tokens(State(QUESTION, (step,), (Execution(),))) == [*opening, *kept]
    unusual = Step("That is four.\n\n", token_ids=(*plain("That is four"), 13, 271))
    assert policy.prompt_tokens(State(QUESTION, (unusual,), (Execution(),))) == [*opening, *unusual.token_ids]


@needs_shared("tokenizers/qwen3")
def test_an_executors_output_is_read_after_the_programs_own_tokens(qwen: Any) -> None:
    model, tokenizer = qwen
    step_format = step_format_for(model.config, tokenizer, "tir")
    policy = policy_of(step_format, model, tokenizer)
    text = "```python\nprint(4)\n```\n"
    program = tuple(tokenizer(text)["input_ids"])
    step = Step(text, "print(4)\n", token_ids=program)
    ids = policy.prompt_tokens(State(QUESTION, (step,), (Execution("4\n"),)))
    inserted = tokenizer("```output\n4\n```\n")["input_ids"]
    assert ids == [*policy.prompt_tokens(State(QUESTION)), *program, *inserted]
    assert isinstance(step_format, TirFormat)


@needs_shared("tokenizers/deepseek_v3")
def test_prompt_ids_of_deepseek() -> None:
    from types import SimpleNamespace

    from treestar.policy.formats import missing_bos
    from treestar.policy.models import load_tokenizer

    tokenizer = load_tokenizer(str(SHARED / "tokenizers" / "deepseek_v3"))
    prompt = step_format_for(SimpleNamespace(), tokenizer).prompt(State(QUESTION))
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    user, assistant = (tokenizer.convert_tokens_to_ids(f"<｜{role}｜>") for role in ("User", "Assistant"))
    asked = "2 + 2?\nPlease reason step by step, and put your final answer within \\boxed{}."
    words = tokenizer.backend_tokenizer.encode(asked, add_special_tokens=False).ids
    assert missing_bos(tokenizer, ids) + ids == [tokenizer.bos_token_id, user, *words, assistant]


def test_training_learns_what_the_policy_wrote_and_not_what_the_executor_did() -> None:
    from treestar.training.sft.data import NO_LOSS, token_rows

    _, tokenizer = tiny_model()
    step_format = TirFormat(lambda messages: messages[-1]["content"] + "\n", INSTRUCT)
    program = Step("Compute:\n```python\nprint(4)\n```\n", "print(4)\n")
    told = Step("It is \\boxed{4}.", ending="answer", answer="4")
    rows = token_rows(tokenizer, step_format, State(QUESTION, (program, told), (Execution("4\n"), Execution())))
    learned = [tokenizer.decode([token for token in row.labels if token != NO_LOSS]) for row in rows]
    assert learned == [program.text + told.text + "<|endoftext|>"]
    assert "```output\n4\n```\n" in tokenizer.decode(list(rows[0].ids))


def test_training_refuses_trajectories_of_another_way_of_writing() -> None:
    from support.sft_rows import sum_row

    from treestar.policy import RStarFormat
    from treestar.training.sft.data import SFTRow, prepare
    from treestar.types import TreestarError

    _, tokenizer = tiny_model()
    prose = CotFormat(lambda messages: messages[-1]["content"] + "\n", INSTRUCT)
    steps = (Step("Two and two.\n\n"), Step("\\boxed{4}", ending="answer", answer="4"))
    row = SFTRow("sum", State(QUESTION, steps, (Execution(), Execution())))
    assert prepare([row], tokenizer, prose, 500).trajectories == 1
    with pytest.raises(TreestarError, match="not written in the rstar format"):
        prepare([row], tokenizer, RStarFormat(), 500)
    with pytest.raises(TreestarError, match="not written in the cot format"):
        prepare([sum_row(1)], tokenizer, prose, 500)


def test_a_ppm_refuses_trees_of_another_way_of_writing() -> None:
    from types import SimpleNamespace

    from treestar.policy import RStarFormat
    from treestar.search import Tree
    from treestar.training.ppm.data import check_step_formats
    from treestar.types import TreestarError

    ppm: Any = SimpleNamespace(step_format=RStarFormat())
    trees = [Tree(QUESTION, "mcts", config, 0) for config in ({}, {"step_format": "chat"})]
    check_step_formats(trees, ppm)
    with pytest.raises(TreestarError, match="searched in the step format cot, but this model reads rstar"):
        check_step_formats([*trees, Tree(QUESTION, "mcts", {"step_format": "cot"}, 0)], ppm)
    with pytest.raises(TreestarError, match="searched in the step format bound, but this model reads rstar"):
        check_step_formats([*trees, Tree(QUESTION, "mcts", {"step_format": "bound"}, 0)], ppm)
