"""The transformers backend on a real (tiny, random) model: seeds, batches, log-probabilities, counts, limits."""

from __future__ import annotations

import asyncio
import copy
import math
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_model import save_tiny_model, tiny_model

from treestar.concurrency import TURN
from treestar.config.calibration import Calibration
from treestar.policy import RStarFormat, TransformersPolicy, load_policy
from treestar.policy.backends.decoding import Continuation, DecodingBatch, with_room
from treestar.policy.backends.sampling import choose_tokens, uniforms
from treestar.policy.backends.shared_attention import share_prompts
from treestar.types import ContextOverflow, Problem, Proposal, Sampling, State, Step, TreestarError

STATES = [State(Problem(f"How much is {i} times {'9' * (i % 5 + 1)}?")) for i in range(12)]
SAMPLING = Sampling(temperature=1.0, max_tokens=24)


@pytest.fixture
def policy() -> TransformersPolicy:
    model, tokenizer = tiny_model()
    return TransformersPolicy(model, tokenizer, RStarFormat(), "tiny")


def propose(policy: TransformersPolicy, *requests: tuple[State, int, Sampling, int]) -> list[Proposal]:
    """Run all requests concurrently."""

    async def together() -> list[Proposal]:
        return await asyncio.gather(*(policy.propose(*request) for request in requests))

    return asyncio.run(together())


def texts(proposal: Proposal) -> list[str]:
    return [step.text for step in proposal.steps]


def test_a_sequence_does_not_depend_on_what_shares_its_batch(policy: TransformersPolicy) -> None:
    requests = [(state, 3, SAMPLING, seed) for seed, state in enumerate(STATES)]
    together = propose(policy, *requests)
    for request, proposal in zip(requests, together, strict=True):
        [alone] = propose(policy, request)
        assert texts(alone) == texts(proposal)
        assert [step.log_probability for step in alone.steps] == pytest.approx(
            [step.log_probability for step in proposal.steps], abs=1e-3
        )
    assert len({tuple(texts(proposal)) for proposal in together}) == len(STATES)


def test_seeds_and_candidates_differ_and_repeat(policy: TransformersPolicy) -> None:
    state = STATES[0]
    first, again, other = propose(policy, *[(state, 4, SAMPLING, seed) for seed in (1, 1, 2)])
    assert texts(first) == texts(again) != texts(other)
    assert len(set(texts(first))) == 4
    [fewer] = propose(policy, (state, 2, SAMPLING, 1))
    assert texts(fewer) == texts(first)[:2], "candidate i depends on i, not on the number requested"


def test_greedy_ignores_the_seed(policy: TransformersPolicy) -> None:
    greedy = Sampling(temperature=0.0, max_tokens=24)
    one, two = propose(policy, (STATES[0], 1, greedy, 1), (STATES[0], 1, greedy, 2))
    assert texts(one) == texts(two)


def test_log_probabilities_are_the_models(policy: TransformersPolicy) -> None:
    """The recorded sum equals a plain forward pass over the generated tokens at temperature 1."""
    model, tokenizer = tiny_model()
    [proposal] = propose(policy, (STATES[3], 1, Sampling(temperature=0.7, max_tokens=12), 5))
    step = proposal.steps[0]
    prompt = tokenizer(policy.format.prompt(STATES[3]), add_special_tokens=False)["input_ids"]
    drawn = draw_by_hand(model, prompt, uniforms(5, 0, 12), temperature=0.7)
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + drawn])).logits[0]
    expected = sum(logits[len(prompt) - 1 + place].log_softmax(-1)[token].item() for place, token in enumerate(drawn))
    assert step.tokens == len(drawn) == 12
    assert step.log_probability == pytest.approx(expected, abs=1e-3)


def draw_by_hand(model: torch.nn.Module, prompt: list[int], numbers: list[float], temperature: float) -> list[int]:
    drawn: list[int] = []
    for number in numbers:
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + drawn])).logits[0, -1]
        cumulative = (logits / temperature).softmax(-1).cumsum(-1)
        drawn.append(int((cumulative <= number * cumulative[-1]).sum()))
    return drawn


def test_sampling_follows_the_distribution() -> None:
    """Drawn frequencies match the probabilities (chi-square at 1e-6), and top_p keeps only the nucleus."""
    probabilities = torch.tensor([0.5, 0.25, 0.15, 0.1])
    rows = 20_000
    numbers = [uniforms(7, row, 1)[0] for row in range(rows)]
    logits = probabilities.log().expand(rows, 4)

    def frequencies(sampling: Sampling) -> torch.Tensor:
        chosen, log_probabilities = choose_tokens(logits, [sampling] * rows, numbers)
        assert log_probabilities == pytest.approx(logits[0, chosen].tolist(), abs=1e-6)
        return torch.bincount(torch.tensor(chosen), minlength=4)

    counts = frequencies(Sampling())
    chi_square = ((counts - rows * probabilities) ** 2 / (rows * probabilities)).sum()
    assert chi_square < 30.7
    nucleus = frequencies(Sampling(top_p=0.7))
    assert nucleus[2:].tolist() == [0, 0]
    assert nucleus[0] / rows == pytest.approx(2 / 3, abs=0.02)
    assert frequencies(Sampling(temperature=0.0)).tolist() == [rows, 0, 0, 0]


@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(temperature=0.0), Sampling(distinct=True)])
def test_a_model_whose_probabilities_are_not_numbers_is_refused(sampling: Sampling) -> None:
    """As in float16, where values overflow. Every token would be the first or the last of the vocabulary."""
    model, tokenizer = tiny_model()
    overflowing = copy.deepcopy(model)
    with torch.no_grad():
        overflowing.lm_head.weight.fill_(math.nan)
    policy = TransformersPolicy(overflowing, tokenizer, RStarFormat(), "tiny")
    with pytest.raises(TreestarError, match="probabilities that are not numbers"):
        propose(policy, (STATES[0], 2, sampling, 0))


def test_the_output_layer_reads_the_last_positions_of_many_prompts_at_once(policy: TransformersPolicy) -> None:
    """A strided input would be multiplied prompt by prompt, with a copy of the matrix for each on a CPU."""
    inputs: list[torch.Tensor] = []
    policy.model.lm_head.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    propose(policy, *[(state, 1, SAMPLING, 0) for state in STATES])
    # How many prompts the first batch has depends on how soon the generator's thread begins.
    assert max(map(len, inputs)) > 1
    assert all(each.is_contiguous() for each in inputs)


def test_steps_end_at_stop_strings_and_count_their_tokens() -> None:
    """A model that always writes the same tag: the step ends there, and the padding after it does not count."""
    model, tokenizer = tiny_model()
    policy = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny")
    tag = tokenizer.convert_tokens_to_ids("<end_of_step>")
    hook = model.lm_head.register_forward_hook(lambda module, inputs, output: favour(output, tag))
    try:
        [proposal] = propose(policy, (STATES[0], 3, SAMPLING, 0))
    finally:
        hook.remove()
    assert proposal.steps == (Step("", "", "step", tokens=1, log_probability=proposal.steps[0].log_probability),) * 3
    assert proposal.generated_tokens == 3
    assert proposal.prompt_tokens == len(tokenizer(policy.format.prompt(STATES[0]))["input_ids"])


def favour(logits: torch.Tensor, token: int) -> torch.Tensor:
    logits = logits.clone()
    logits[..., token] = 100.0
    return logits


def test_end_of_sequence_ends_a_step(policy: TransformersPolicy) -> None:
    model, tokenizer = tiny_model()
    hook = model.lm_head.register_forward_hook(lambda module, inputs, output: favour(output, tokenizer.eos_token_id))
    try:
        [proposal] = propose(policy, (STATES[0], 1, SAMPLING, 0))
    finally:
        hook.remove()
    assert (proposal.steps[0].text, proposal.steps[0].ending, proposal.generated_tokens) == ("", "answer", 1)


def test_a_state_that_does_not_fit_is_said_so(policy: TransformersPolicy) -> None:
    long = State(Problem("long " * 400))
    with pytest.raises(ContextOverflow, match="exceed the 512 tokens"):
        propose(policy, (long, 1, SAMPLING, 0))


def test_more_rows_than_a_batch_holds() -> None:
    model, tokenizer = tiny_model()
    small = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny", max_batch=4)
    large = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny", max_batch=64)
    requests = [(state, 6, SAMPLING, 3) for state in STATES[:3]]
    assert [texts(each) for each in propose(small, *requests)] == [texts(each) for each in propose(large, *requests)]


def test_memory_that_runs_out_halves_the_batch(policy: TransformersPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = DecodingBatch.step
    sizes: list[int] = []
    most = 2

    def at_most(batch: DecodingBatch) -> torch.Tensor:
        sizes.append(len(batch.rows))
        if len(batch.rows) > most:
            raise torch.OutOfMemoryError("scripted")
        return whole(batch)

    [expected] = propose(policy, (STATES[0], 5, SAMPLING, 1))
    monkeypatch.setattr(DecodingBatch, "step", at_most)
    [proposal] = propose(policy, (STATES[0], 5, SAMPLING, 1))
    assert texts(proposal) == texts(expected)
    assert sizes[:2] == [5, 2]

    most = 0
    with pytest.raises(TreestarError, match="ran out of memory on one sequence"):
        propose(policy, (STATES[0], 2, SAMPLING, 1))
    most = 2
    assert texts(propose(policy, (STATES[0], 5, SAMPLING, 1))[0]) == texts(expected), "and it continues after that"


def test_rows_may_leave_before_a_step_has_read_them() -> None:
    """Many join a batch with room for fewer, and the first of them ends with its first token."""
    model, _ = tiny_model()
    share_prompts(model, "tiny")
    batch: DecodingBatch[Continuation] = DecodingBatch(model)

    def row(tokens: list[int]) -> Continuation:
        return Continuation(tokens, len(tokens) - 1, SAMPLING, [])

    keys_values = torch.randn(2, 2, 4, 3, 16)
    first, others = row([5, 6, 7, 8]), [row([5, 6, 7, 9]) for _ in range(6)]
    batch.join([first], keys_values)
    expected = batch.step()
    batch.join(others, keys_values)
    batch.leave(others[0])
    batch.leave(first)
    assert {id(each) for each in batch.rows} == {id(each) for each in others[1:]}
    assert [each.row for each in batch.rows] == list(range(5))
    assert batch.step().shape == (5, expected.shape[1])


def test_a_failing_model_fails_who_waits_and_nobody_else(policy: TransformersPolicy) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("scripted")

    hook = policy.model.register_forward_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="scripted"):
            propose(policy, (STATES[0], 2, SAMPLING, 1), (STATES[1], 2, SAMPLING, 1))
    finally:
        hook.remove()
    assert len(propose(policy, (STATES[0], 2, SAMPLING, 1))[0].steps) == 2


def test_requests_of_earlier_searches_are_served_first() -> None:
    model, tokenizer = tiny_model()
    policy = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny", max_batch=2)
    served: list[int] = []

    async def ask(turn: int) -> None:
        TURN.set(turn)
        await policy.propose(STATES[turn], 2, SAMPLING, 0)
        served.append(turn)

    async def ask_all() -> None:
        all_asked = threading.Event()
        policy.generator.thread.submit(all_asked.wait)
        asking = asyncio.gather(*(ask(turn) for turn in (5, 3, 7, 1)))
        await asyncio.sleep(0)
        all_asked.set()
        await asking

    asyncio.run(ask_all())
    assert served == [1, 3, 5, 7]


def test_cancelled_requests_are_not_generated(policy: TransformersPolicy) -> None:
    async def cancel_one(pause: float) -> Proposal:
        kept = asyncio.create_task(policy.propose(STATES[0], 1, SAMPLING, 0))
        dropped = asyncio.create_task(policy.propose(STATES[1], 1, Sampling(max_tokens=400), 0))
        await asyncio.sleep(pause)
        dropped.cancel()
        proposal = await kept
        while policy.generator.any_left():
            await asyncio.sleep(0.001)
        return proposal

    for pause in (0, 0.02):
        proposal = asyncio.run(cancel_one(pause))
        assert len(proposal.steps) == 1
        assert math.isfinite(proposal.steps[0].log_probability)
    assert len(policy.generator.batch.rows) == len(policy.generator.waiting) == 0


@pytest.mark.parametrize(
    ("config", "wanted", "expected"),
    [({}, None, "rstar"), ({"treestar_format": "bound"}, None, "bound"), ({}, "chat", "chat")],
)
def test_loading_a_folder_finds_its_format(tmp_path: Path, config: dict, wanted: str | None, expected: str) -> None:
    folder = save_tiny_model(tmp_path, **config)
    assert load_policy(str(folder), step_format=wanted).format.name == expected  # type: ignore[arg-type]


def test_loading_a_folder_finds_what_its_confidence_means(tmp_path: Path) -> None:
    calibrations = {"mcts": {"slope": 2.0, "intercept": -1.0}}
    policy = load_policy(str(save_tiny_model(tmp_path, treestar_calibrations=calibrations)))
    assert policy.calibrations == {"mcts": Calibration(2.0, -1.0)}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./no-such-folder", "there is no such folder"),
        ("no/such/folder", "there is no such folder, and an id on the hub has one slash"),
        ("no-such-owner/no-such-model", "cannot be loaded"),
    ],
)
def test_a_missing_model_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(TreestarError, match=sentence) as caught:
        load_policy(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_model_is_one_sentence(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(TreestarError, match="cannot be loaded"):
        load_policy(str(folder))


def test_long_prompts_are_continued_fewer_at_a_time(
    policy: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [(state, 3, SAMPLING, seed) for seed, state in enumerate(STATES * 3)]
    expected = propose(policy, *requests)
    policy.forget()
    generator, longest = policy.generator, max(len(policy.prompt_tokens(state)) for state in STATES)
    monkeypatch.setattr(generator, "most_tokens", 2 * longest + 6 * SAMPLING.max_tokens)
    whole = DecodingBatch.step
    rows: list[int] = []
    sizes: list[int] = []

    def observed(batch: DecodingBatch) -> torch.Tensor:
        columns = max(prompt.length for prompt in batch.prompts)
        rows.append(len(batch.rows))
        sizes.append(len(batch.prompts) * columns + len(batch.rows) * SAMPLING.max_tokens)
        return whole(batch)

    monkeypatch.setattr(DecodingBatch, "step", observed)
    assert [texts(each) for each in propose(policy, *requests)] == [texts(each) for each in expected]
    assert max(sizes) <= generator.most_tokens
    assert max(rows) > 3, "as many as fit are continued together"

    rows.clear()
    monkeypatch.setattr(generator, "most_tokens", 1)
    assert texts(propose(policy, requests[0])[0]) == texts(expected[0])
    assert max(rows) == 1


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), min_size=1, max_size=8))
def test_room_is_kept_for_what_is_needed_and_not_for_much_more(needs: list[tuple[int, int]]) -> None:
    like = torch.zeros(1, 2, 1, 1, 1)
    kept: torch.Tensor | None = None
    filled = (0, 0)
    for rows, columns in needs:
        kept = with_room(kept, rows, columns, like)
        assert kept.shape[2] >= rows
        assert kept.shape[4] >= columns
        assert kept.shape[2] * kept.shape[4] <= max(8192, 4 * rows * columns)
        common = kept[:, :, : min(rows, filled[0]), :, : min(columns, filled[1])]
        assert bool((common == 1).all())
        kept[:, :, :rows, :, :columns] = 1
        filled = rows, columns
