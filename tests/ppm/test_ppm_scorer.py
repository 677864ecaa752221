"""The scorer on a real (tiny, random) model: which request gets which scores, batches, counts, limits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from support.tiny_model import save_tiny_model, tiny_model

from treestar import MCTSConfig, Solver
from treestar.benchmarks.gym import make_problems
from treestar.policy.backends.prefix_cache import BLOCK
from treestar.policy.formats import ChatFormat, RStarFormat
from treestar.policy.models import shipped_path
from treestar.ppm import PPM, Encoded, TransformersScorer, encode, load_scorer, make_pairs, ppm_from_policy
from treestar.types import Execution, Problem, Scorer, Scores, State, Step, TreestarError

MODEL_PATH = shipped_path("policy", "toy")


def state_of(number: int) -> State:
    depth = number % 4
    steps = tuple(Step(f"x{index} = {number} + {index}", "x") for index in range(depth))
    return State(Problem(f"How much is {'9' * (number % 7 + 1)} and {number}?"), steps, (Execution(),) * depth)


STATES = [state_of(number) for number in range(24)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PPM over the tiny policy with a random head."""
    path = tmp_path_factory.mktemp("ppm")
    ppm = ppm_from_policy(str(save_tiny_model(path / "policy")))
    torch.manual_seed(4)
    torch.nn.init.normal_(ppm.model.score.weight, std=0.2)
    ppm.save(path / "ppm")
    return path / "ppm"


@pytest.fixture
def scorer(folder: Path) -> TransformersScorer:
    return load_scorer(str(folder), device="cpu", max_batch=5, dtype="float32")


def ask(scorer: TransformersScorer, *requests: Sequence[State]) -> list[Scores]:
    """Run all requests concurrently."""

    async def together() -> list[Scores]:
        return await asyncio.gather(*(scorer.score(states) for states in requests))

    return asyncio.run(together())


def alone(scorer: TransformersScorer, state: State) -> float:
    """The score of one state, by a plain forward pass."""
    ids = encode(scorer.ppm.tokenizer, scorer.ppm.step_format, state).ids
    with torch.inference_mode():
        return scorer.ppm.model(torch.tensor([ids])).logits.tanh().item()


def test_every_search_gets_the_scores_of_its_own_states_in_order(scorer: TransformersScorer) -> None:
    requests = [STATES[:1], STATES[1:12], [], STATES[12:], STATES[3:5]]
    answers = ask(scorer, *requests)
    for states, scores in zip(requests, answers, strict=True):
        assert scores.values == pytest.approx([alone(scorer, state) for state in states], abs=1e-5)
    everything = [state for states in requests for state in states]
    lengths = [len(encode(scorer.ppm.tokenizer, scorer.ppm.step_format, state).ids) for state in everything]
    read, reused = sum(scores.tokens for scores in answers), scorer.prefixes.reused_tokens
    assert 0 < reused == sum(lengths) - read
    assert all(-1 <= value <= 1 for scores in answers for value in scores.values)
    assert len(set(answers[1].values)) == 11


def test_it_is_a_scorer_with_the_name_that_was_given(scorer: TransformersScorer, folder: Path) -> None:
    promised: Scorer = scorer
    assert promised.name == str(folder)


def test_concurrent_requests_share_forward_passes(scorer: TransformersScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scorer.read
    batches: list[list[int]] = []

    def watched(rows: Sequence[Encoded]) -> list[tuple[float, int]]:
        batches.append([len(row) for row in rows])
        return whole(rows)

    monkeypatch.setattr(scorer, "read", watched)
    ask(scorer, *[[state] for state in STATES])
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 4]


def test_a_child_is_read_only_beyond_its_parent(scorer: TransformersScorer) -> None:
    parent = max(STATES, key=lambda state: len(state.steps))
    step = Step("y = 2", "y = 2")
    child = State(parent.problem, (*parent.steps, step), (*parent.executions, Execution()))
    [first] = ask(scorer, [parent])
    [second] = ask(scorer, [child])
    lengths = [len(encode(scorer.ppm.tokenizer, scorer.ppm.step_format, state).ids) for state in (parent, child)]
    assert first.tokens == lengths[0]
    assert second.tokens == lengths[1] - lengths[0] // BLOCK * BLOCK
    assert second.values[0] == pytest.approx(alone(scorer, child), abs=1e-5)


SOLUTION = ("2 + 3 = 5.", "Then 5 * 4 = 20.", "20 - 6 = 14.", "So the answer is 14.")
QUESTION = "What is (2 + 3) * 4 - 6?"


def written(*steps: str, question: str = QUESTION) -> State:
    return State(Problem(question), tuple(map(Step, steps)), (Execution(),) * len(steps))


BEGINNINGS = [written(*SOLUTION[:depth]) for depth in (2, 4, 0, 1, 3)]


def separately(scorer: TransformersScorer, states: Sequence[State]) -> list[float]:
    """The scores of states that are read one by one, each as a whole."""
    found: list[float] = []
    for state in states:
        scorer.prefixes.clear()
        found += ask(scorer, [state])[0].values
    scorer.prefixes.clear()
    return found


def length(scorer: TransformersScorer, state: State) -> int:
    return len(encode(scorer.ppm.tokenizer, scorer.ppm.step_format, state))


def test_beginnings_that_are_asked_about_together_are_read_once() -> None:
    toy = load_scorer("toy", device="cpu", dtype="float32")
    assert isinstance(toy, TransformersScorer)
    sibling = written(*SOLUTION[:2], "20 - 6 = 15.")
    other = written(*SOLUTION[:1], question="What is 2 + 3?")
    states = [*BEGINNINGS, sibling, *BEGINNINGS[:2], other]
    expected = separately(toy, states)

    [first, second] = ask(toy, states[:3], states[3:])

    assert (*first.values, *second.values) == pytest.approx(expected, abs=1e-5)
    assert len({*first.values, *second.values}) == len(states) - 2, "equal states have equal scores, others do not"
    whole = [BEGINNINGS[1], sibling, other]
    assert first.tokens == length(toy, BEGINNINGS[1])
    assert first.tokens + second.tokens == sum(length(toy, state) for state in whole)


def test_what_is_known_of_a_solution_is_not_read_again_for_its_beginnings(scorer: TransformersScorer) -> None:
    scorer.max_batch = 128
    expected = separately(scorer, BEGINNINGS)
    longer = written(*SOLUTION, "Check: 14 + 6 = 20.")
    ask(scorer, [BEGINNINGS[1]])
    [again] = ask(scorer, [*BEGINNINGS, longer])
    assert again.values == pytest.approx([*expected, alone(scorer, longer)], abs=1e-5)
    new = length(scorer, longer) - length(scorer, BEGINNINGS[1]) // BLOCK * BLOCK
    assert again.tokens <= len(BEGINNINGS) * BLOCK + new


def test_solutions_in_random_order_never_cost_more_together(scorer: TransformersScorer) -> None:
    scorer.max_batch = 128
    draw = random.Random(0)
    tree = [written(*path) for depth in range(4) for path in product(("1 + 1 = 2.", "So 2."), repeat=depth)]
    for _ in range(12):
        states = draw.choices(tree, k=draw.randint(1, 12))
        rows = [scorer.row_of(state) for state in states]
        each_alone = sum(len(row) - BLOCK * len(scorer.prefixes.match(row.ids)) for row in rows)
        before = scorer.prefixes.read_tokens
        [scores] = ask(scorer, states)
        assert scores.values == pytest.approx([alone(scorer, state) for state in states], abs=1e-5)
        assert scores.tokens == scorer.prefixes.read_tokens - before <= each_alone
        if draw.random() < 0.3:
            scorer.prefixes.clear()


@pytest.mark.parametrize("cache_bytes", [2**22, 0], ids=["cached", "without room"])
def test_beginnings_in_a_model_with_a_sliding_window(cache_bytes: int) -> None:
    from transformers import MistralConfig, MistralForSequenceClassification

    _, tokenizer = tiny_model()
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(
        vocab_size=len(tokenizer),
        **sizes,
        num_key_value_heads=1,
        initializer_range=0.3,
        sliding_window=40,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = MistralForSequenceClassification(config).eval()
    scorer = TransformersScorer(PPM(model, tokenizer, RStarFormat()), "windowed", prefix_cache_bytes=cache_bytes)
    sibling = written(*SOLUTION[:2], "20 - 6 = 15.")
    [scores] = ask(scorer, [*BEGINNINGS[:1], sibling, *BEGINNINGS[1:]])
    expected = [alone(scorer, state) for state in (*BEGINNINGS[:1], sibling, *BEGINNINGS[1:])]
    assert scores.values == pytest.approx(expected, abs=1e-5)
    assert scores.tokens == length(scorer, BEGINNINGS[1]) + length(scorer, sibling)


def test_a_step_without_tokens_scores_as_the_one_before(scorer: TransformersScorer) -> None:
    def question_alone(messages: Sequence[dict[str, str]]) -> str:
        return messages[-1]["content"]

    ppm = replace(scorer.ppm, step_format=ChatFormat(question_alone))
    paragraphs = TransformersScorer(ppm, "paragraphs")
    states = [written("Because.", "", "So 2."), written("Because.", ""), written("Because.")]
    [scores] = ask(paragraphs, states)
    assert scores.values == pytest.approx([alone(paragraphs, state) for state in states], abs=1e-5)
    assert scores.values[1] == scores.values[2]
    assert scores.tokens == length(paragraphs, states[0])


def test_a_second_event_loop_finds_it_ready(scorer: TransformersScorer) -> None:
    first, second = ask(scorer, STATES[:3])[0], ask(scorer, STATES[:3])[0]
    assert first.values == pytest.approx(second.values, abs=1e-6)


def test_memory_that_runs_out_halves_the_batch(scorer: TransformersScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scorer.read
    [expected] = ask(scorer, STATES[:5])

    def at_most_two(rows: Sequence[Encoded]) -> list[tuple[float, int]]:
        if len(rows) > 2:
            raise torch.OutOfMemoryError("scripted")
        return whole(rows)

    monkeypatch.setattr(scorer, "read", at_most_two)
    [scores] = ask(scorer, STATES[:5])
    assert scores.values == pytest.approx(expected.values, abs=1e-5)

    def never(rows: Sequence[Encoded]) -> list[tuple[float, int]]:
        raise torch.OutOfMemoryError("scripted")

    monkeypatch.setattr(scorer, "read", never)
    with pytest.raises(TreestarError, match="ran out of memory on one state of"):
        ask(scorer, STATES[:2])


def test_a_search_that_gives_up_is_not_waited_for(scorer: TransformersScorer) -> None:
    async def cancel_one() -> Scores:
        kept = asyncio.create_task(scorer.score(STATES[:2]))
        dropped = asyncio.create_task(scorer.score(STATES[2:]))
        await asyncio.sleep(0)
        dropped.cancel()
        return await kept

    assert len(asyncio.run(cancel_one()).values) == 2
    assert not scorer.waiting


def test_a_failure_reaches_all_who_wait_and_the_scorer_goes_on(
    scorer: TransformersScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both() -> list[Scores | BaseException]:
        return await asyncio.gather(scorer.score(STATES[:1]), scorer.score(STATES[1:2]), return_exceptions=True)

    def broken(rows: Sequence[Encoded]) -> list[tuple[float, int]]:
        raise RuntimeError("scripted")

    with monkeypatch.context() as patched:
        patched.setattr(scorer, "read", broken)
        assert [str(each) for each in asyncio.run(both())] == ["scripted", "scripted"]
    assert all(isinstance(each, Scores) for each in asyncio.run(both()))


def test_what_exceeds_the_context_scores_as_its_part_that_fits(scorer: TransformersScorer) -> None:
    """Up to the last step end within the context; a problem that is too long, up to the context's end."""
    code = Step("print('7' * 600)", "print('7' * 600)", "code")
    before = STATES[3]
    long = State(before.problem, (*before.steps, code), (*before.executions, Execution("7" * 600)))
    endless = State(Problem("9" * 600), (Step("x = 1", "x = 1"),), (Execution(),))
    with pytest.warns(RuntimeWarning, match="exceed the 512 tokens"):
        [scores] = ask(scorer, [long, before, endless])
    assert scores.values[0] == pytest.approx(scores.values[1], abs=1e-5)
    assert scores.tokens == length(scorer, before) + scorer.context, (
        "the part that fits is a state that was asked about"
    )


@pytest.mark.slow
def test_the_toy_ppm_knows_right_steps_from_wrong_ones() -> None:
    problems = make_problems("leg_counting", "hard", "validation", 16, seed=60_000)
    config = MCTSConfig(
        gold=True,
        early_stop=False,
        max_rollouts=16,
        children=4,
        distinct=True,
        min_share=0.03,
        max_generated_tokens=1500,
    )
    with Solver("toy", config, seed=1) as solver:
        trees = [result.tree for result in solver.solve_many(problems)]
    pairs, _ = make_pairs(tree for tree in trees if tree is not None)
    chosen, rejected = ask(load_scorer("toy"), [each.chosen for each in pairs], [each.rejected for each in pairs])
    right = [better > worse for better, worse in zip(chosen.values, rejected.values, strict=True)]
    assert len(right) > 20
    assert sum(right) / len(right) > 0.6


def test_a_policy_is_no_scorer() -> None:
    with pytest.raises(TreestarError, match="it is a policy"):
        load_scorer(str(MODEL_PATH))
