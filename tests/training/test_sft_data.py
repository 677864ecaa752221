"""Fine-tuning data is, token for token, what the policy reads and writes at inference."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sft_rows import sum_row
from support.tiny_model import tiny_model

from treestar.policy.backends.generated import Generated, Generation
from treestar.policy.backends.request import Request
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.formats import (
    BoundFormat,
    ChatFormat,
    FormatName,
    RStarFormat,
    StepFormat,
    plain_template,
    step_format_named,
    written_text,
)
from treestar.policy.load import load_policy
from treestar.training.sft.data import NO_LOSS, SFTRow, TokenRow, prepare, token_rows
from treestar.types import Execution, Problem, Sampling, State, Step, TreestarError


@cache
def merging_tokenizer() -> Any:
    """Bytes; a line break merges with another one, otherwise with a `>` before it. The format's tags are ordinary
    text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate([*alphabet, ">Ċ", "ĊĊ"])}
    backend = Tokenizer(models.BPE(vocabulary, [("Ċ", "Ċ"), (">", "Ċ")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


class ReadingAloud:
    """Replaces a policy's generator: writes the tokens with a loss that follow the given prompt in the rows."""

    def __init__(self, tokenizer: Any, rows: Sequence[TokenRow]) -> None:
        self.tokenizer = tokenizer
        self.rows = rows
        self.left = {(row, place) for row, each in enumerate(rows) for place in range(len(each.ids))}
        """The places with a loss on tokens that were not written yet."""
        self.left = {(row, place) for row, place in self.left if rows[row].labels[place] != NO_LOSS}

    def submit(self, request: Request) -> None:
        begin, end = len(request.prompt), self.tokenizer.eos_token_id
        [number] = [number for number, row in enumerate(self.rows) if self.continues(row, request.prompt)]
        written: list[int] = []
        text, ended = "", False
        for place, label in enumerate(self.rows[number].labels[begin:], start=begin):
            if label == NO_LOSS or any(stop in text for stop in request.stop_strings):
                break
            self.left.discard((number, place))
            written.append(label)
            ended = label == end
            text = self.tokenizer.decode(written[:-1] if ended else written)
        request.done.set_result(Generation([Generated(text, ended, len(written), 0.0)], len(written)))

    def continues(self, row: TokenRow, prompt: list[int]) -> bool:
        return list(row.ids[: len(prompt)]) == prompt and row.labels[len(prompt)] != NO_LOSS


def walk(tokenizer: Any, step_format: StepFormat, trajectory: State) -> list[int]:
    """Let a real policy take the trajectory's steps while its model writes what the rows teach. Returns what it never
    wrote."""
    reading = ReadingAloud(tokenizer, token_rows(tokenizer, step_format, trajectory))
    policy = TransformersPolicy(tiny_model(8192)[0], tokenizer, step_format, "tiny")
    policy.generator = reading  # type: ignore[assignment]
    for depth, step in enumerate(trajectory.steps):
        state = State(trajectory.problem, trajectory.steps[:depth], trajectory.executions[:depth])
        [taken] = asyncio.run(policy.propose(state, 1, Sampling(), 0)).steps
        assert replace(taken, tokens=0) == step
    return [reading.rows[row].labels[place] for row, place in sorted(reading.left)]


def prose() -> State:
    """A chat model that does not write code: paragraphs are steps."""
    steps = (Step("Twelve plus two."), Step("It is \\boxed{14}.", ending="answer", answer="14"))
    return State(Problem("What is 12 plus 2?", id="prose"), steps, (Execution(), Execution()))


def toy() -> Any:
    return load_policy("toy").tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "step_format", "trajectory"),
    [
        (lambda: tiny_model(8192)[1], RStarFormat(), sum_row(12).trajectory),
        (lambda: tiny_model(8192)[1], ChatFormat(plain_template), sum_row(12).trajectory),
        (lambda: tiny_model(8192)[1], ChatFormat(lambda messages: f"{messages[-1]['content']}|assistant|"), prose()),
        (toy, BoundFormat(), sum_row(12, "bound").trajectory),
        (merging_tokenizer, RStarFormat(), sum_row(12).trajectory),
    ],
    ids=["rstar", "chat", "chat in prose", "bound", "tags that merge with the line break"],
)
def test_a_row_teaches_what_the_policy_reads_and_writes(
    tokenizer: Any, step_format: StepFormat, trajectory: State
) -> None:
    """Every prompt of the policy begins a row, what has a loss behind it makes the step, and nothing else has a loss
    but the end of the sequence, which the policy does not wait for where a tag comes first."""
    tokenizer = tokenizer()
    assert set(walk(tokenizer, step_format, trajectory)) <= {tokenizer.eos_token_id}
    [row] = token_rows(tokenizer, step_format, trajectory)
    assert row.ids[-1] == row.labels[-1] == tokenizer.eos_token_id or tokenizer.eos_token is None
    last = State(trajectory.problem, trajectory.steps[:-1], trajectory.executions[:-1])
    read = tokenizer.decode(row.ids)
    assert read.startswith(step_format.prompt(last) + trajectory.steps[-1].text)
    taught = tokenizer.decode([label for label in row.labels if label != NO_LOSS])
    assert ("<output>" in read) == any(step.ending == "code" for step in trajectory.steps[:-1])
    assert "<output>" not in taught
    assert trajectory.problem.question not in taught


def test_a_step_that_merges_with_its_prompt_has_a_row_of_its_own() -> None:
    """The line break that begins the second step is a separate token when the policy writes it. When the next prompt is
    tokenized, it merges with the one after the tag, which was part of another token."""
    texts = ["# one\nx = 1", "\n# two\nprint(x)"]
    steps = (
        Step(texts[0], texts[0]),
        Step(texts[1], texts[1], "code"),
        Step("It is \\boxed{1}.", ending="answer", answer="1"),
    )
    trajectory = State(Problem("One?"), steps, (Execution(), Execution("1"), Execution()))
    tokenizer = merging_tokenizer()
    assert len(token_rows(tokenizer, RStarFormat(), trajectory)) == 2
    assert walk(tokenizer, RStarFormat(), trajectory) == []


texts = st.text("\n >a<é", min_size=1, max_size=6)


@settings(max_examples=150)
@given(written=st.lists(texts, min_size=1, max_size=4), output=texts)
def test_whatever_a_step_says_it_is_taught_once_behind_its_own_prompt(written: list[str], output: str) -> None:
    steps = [Step(text, text) for text in written]
    steps[-1] = replace(steps[-1], ending="code")
    steps.append(Step("\\boxed{1}", ending="answer", answer="1"))
    executions = [Execution(output) for _ in steps]
    trajectory = State(Problem("a\n"), tuple(steps), tuple(executions))
    step_format, tokenizer = RStarFormat(), merging_tokenizer()
    rows = token_rows(tokenizer, step_format, trajectory)
    taught = []
    for depth, step in enumerate(steps):
        prompt = step_format.prompt(State(trajectory.problem, tuple(steps[:depth]), tuple(executions[:depth])))
        read = tuple(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        behind = [
            row.labels[len(read) :]
            for row in rows
            if row.ids[: len(read)] == read and row.labels[len(read) : len(read) + 1] not in [(), (NO_LOSS,)]
        ]
        assert any(
            tokenizer.decode([label for label in labels if label != NO_LOSS]).startswith(written_text(step))
            for labels in behind
        )
        taught.append(len(written_text(step)))
    total = sum(len(tokenizer.decode([label for label in row.labels if label != NO_LOSS])) for row in rows)
    # A token can include the line break after a tag.
    assert sum(taught) <= total <= sum(taught) + len(taught)


def test_copies_stand_in_the_data_and_long_trajectories_are_counted() -> None:
    tokenizer = tiny_model()[1]
    rows = [sum_row(1), sum_row(2, copies=3), replace(sum_row(3), trajectory=sum_row(10**30).trajectory)]
    longest = len(token_rows(tokenizer, RStarFormat(), rows[0].trajectory)[0].ids)
    data = prepare(rows, tokenizer, RStarFormat(), longest)
    assert (len(data.rows), data.trajectories, data.too_long) == (4, 2, 1)
    assert data.to_json()["longest"] == longest
    with pytest.raises(TreestarError, match="no training data: all 3 trajectories exceed 10 tokens"):
        prepare(rows, tokenizer, RStarFormat(), 10)
    with pytest.raises(TreestarError, match=r"no training data$"):
        prepare([], tokenizer, RStarFormat(), 10)
    with pytest.raises(ValueError, match="copies must be 1 or more"):
        sum_row(1, copies=0)


def test_a_trajectory_without_an_answer_is_refused() -> None:
    whole = sum_row(1).trajectory
    for steps in (0, 1, 2):
        cut = SFTRow("sum-1", State(whole.problem, whole.steps[:steps], whole.executions[:steps]))
        with pytest.raises(TreestarError, match="'sum-1' does not end in an answer in the rstar format"):
            prepare([cut], tiny_model()[1], RStarFormat(), 512)


@pytest.mark.parametrize(("written", "taught"), [("rstar", BoundFormat()), ("bound", RStarFormat())])
def test_a_trajectory_of_another_step_format_is_refused(written: FormatName, taught: StepFormat) -> None:
    """Under the names of `bound`, steps with digits would teach to make numbers up."""
    row = replace(sum_row(1, written), step_format=written)
    sentence = f"'sum-1' was written in the step format {written}, but the policy would learn to write {taught.name}"
    with pytest.raises(TreestarError, match=sentence):
        prepare([row], tiny_model()[1], taught, 512)


def test_a_policy_that_writes_the_same_steps_after_another_prompt_is_taught_them() -> None:
    row = replace(sum_row(1), step_format="chat")
    assert prepare([row], tiny_model()[1], RStarFormat(), 512).trajectories == 1


def test_a_program_is_taught_as_the_policy_is_asked_for_it() -> None:
    problem = Problem("Write add(a, b).", id="add", kind="code", metadata={"entry_point": "add"})
    program = "```python\ndef add(a, b):\n    return a + b\n```"
    trajectory = State(problem, (Step(program, ending="answer", answer=program),), (Execution(),))
    prose, tokenizer = step_format_named("cot"), tiny_model()[1]
    assert prose.code_format is not None
    data = prepare([SFTRow("add", trajectory, step_format="code")], tokenizer, prose, 512)
    [row] = data.rows
    assert tokenizer.decode(row.ids).startswith(prose.code_format.prompt(State(problem)))
