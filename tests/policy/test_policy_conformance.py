"""The guarantees of every backend, tested on each with the toy model in float32.

The backends: transformers; a server of the plain protocol; vLLM in this process; `vllm serve`. The last two need vLLM
and run under `make test-vllm`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.served_policy import policy_at
from support.vllm_server import VLLMServer

from treestar.cli.problem_file import read_problems
from treestar.policy import load_policy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.formats import ENDINGS, BoundFormat
from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.models import problems_path, shipped_path
from treestar.types import Closable, ContextOverflow, Execution, Problem, Proposal, Sampling, State, Step, TreestarError

MODEL_PATH = shipped_path("policy", "toy")

STATES = [State(problem) for problem in read_problems(problems_path("toy"))[0]]
GREEDY = Sampling(temperature=0.0, max_tokens=64)
SAMPLING = Sampling(temperature=1.0, max_tokens=64)
TAGS = {ending: tag for tag, ending in ENDINGS.items()}


@pytest.fixture(scope="module")
def reference() -> TransformersPolicy:
    """The model itself, with one sequence at a time and nothing reused."""
    loaded = load_policy("toy", dtype="float32")
    assert isinstance(loaded, TransformersPolicy)
    return TransformersPolicy(loaded.model, loaded.tokenizer, loaded.format, "reference", 1, prefix_cache_bytes=0)


@pytest.fixture(
    scope="module",
    params=[
        "transformers",
        "server",
        pytest.param("vllm", marks=pytest.mark.vllm),
        pytest.param("vllm serve", marks=pytest.mark.vllm),
    ],
)
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModelPolicy]:
    if request.param == "server":
        yield policy_at(request.getfixturevalue("completion_port"))
        return
    if request.param == "vllm serve":
        serving = VLLMServer(MODEL_PATH, tmp_path_factory.mktemp("vllm") / "log")
        yield policy_at(serving.url)
        serving.kill()
        return
    name = "toy" if request.param == "transformers" else "vllm:toy?enforce_eager=true"
    loaded = load_policy(name, dtype="float32")
    yield loaded
    if isinstance(loaded, Closable):
        asyncio.run(loaded.close())


def propose(
    policy: LanguageModelPolicy, states: list[State], n: int = 1, sampling: Sampling = SAMPLING, seed: int = 7
) -> list[Proposal]:
    """The proposals for all states, requested concurrently."""

    async def together() -> list[Proposal]:
        return await asyncio.gather(*(policy.propose(state, n, sampling, seed) for state in states))

    return asyncio.run(together())


def texts(proposals: list[Proposal]) -> list[list[str]]:
    return [[step.text for step in proposal.steps] for proposal in proposals]


def after(state: State, step: Step) -> State:
    return State(state.problem, (*state.steps, step), (*state.executions, Execution()))


@pytest.fixture(scope="module")
def greedy(reference: TransformersPolicy) -> list[tuple[list[State], list[Proposal]]]:
    """The states of whole greedy trajectories, level by level, and what the model itself proposes."""
    levels, states = [], STATES
    for _ in range(3):
        proposals = propose(reference, states, sampling=GREEDY)
        levels.append((states, proposals))
        states = [after(state, each.steps[0]) for state, each in zip(states, proposals, strict=True)]
        states = [state for state in states if state.steps[-1].ending == "step"]
    return levels


def test_greedy_steps_are_the_models_own(
    policy: LanguageModelPolicy, greedy: list[tuple[list[State], list[Proposal]]]
) -> None:
    """Along whole trajectories, compared with the model itself. In float32 the toy model has no ties here."""
    for states, expected in greedy:
        found = propose(policy, states, sampling=GREEDY)
        assert texts(found) == texts(expected)
        for one, other in zip(found, expected, strict=True):
            assert (one.prompt_tokens, one.generated_tokens) == (other.prompt_tokens, other.generated_tokens)
            assert one.steps[0].ending == other.steps[0].ending
            assert one.steps[0].log_probability == pytest.approx(other.steps[0].log_probability, abs=1e-3)


def test_steps_stop_at_their_tags(policy: LanguageModelPolicy) -> None:
    for proposal in propose(policy, STATES, n=4):
        for step in proposal.steps:
            assert not any(tag in step.text for tag in ENDINGS)
            assert (step.ending == "truncated") == (step.tokens == SAMPLING.max_tokens)


def test_candidates_depend_only_on_seed_and_index(policy: LanguageModelPolicy) -> None:
    """Not on their number, nor on concurrent requests."""
    together = texts(propose(policy, STATES, n=4))
    alone = texts(propose(policy, STATES[:1], n=2))
    assert together[0][:2] == alone[0]
    assert texts(propose(policy, STATES, n=4)) == together
    hot = Sampling(temperature=2.0, max_tokens=24)
    unsure = [State(Problem("Tom has 3 apples and buys 4 more. How many has he?"))]
    [[one, other]] = texts(propose(policy, unsure, n=2, sampling=hot))
    assert one != other
    assert texts(propose(policy, unsure, n=2, sampling=hot, seed=8)) != [[one, other]]


def test_log_probabilities_are_the_models_at_temperature_1(
    policy: LanguageModelPolicy, reference: TransformersPolicy
) -> None:
    """Whatever the temperature and nucleus they were drawn with."""
    import torch

    drawn = propose(policy, STATES[:4], n=3, sampling=Sampling(temperature=1.3, top_p=0.95, max_tokens=64))
    compared = 0
    for state, proposal in zip(STATES[:4], drawn, strict=True):
        prompt = reference.tokenizer(reference.format.prompt(state), add_special_tokens=False)["input_ids"]
        for step in proposal.steps:
            written = f"{step.text}\n{TAGS.get(step.ending, '')}"
            tokens = reference.tokenizer(written, add_special_tokens=False)["input_ids"]
            if step.ending == "truncated" or len(tokens) != step.tokens:
                continue  # written with other tokens than the tokenizer would use
            with torch.inference_mode():
                logits = reference.model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1)[torch.arange(len(tokens)), tokens].sum().item()
            assert step.log_probability == pytest.approx(expected, abs=2e-3)
            compared += 1
    assert compared >= 6


def test_a_tiny_nucleus_is_greedy(policy: LanguageModelPolicy) -> None:
    nucleus = Sampling(temperature=1.0, top_p=1e-6, max_tokens=64)
    assert texts(propose(policy, STATES, sampling=nucleus)) == texts(propose(policy, STATES, sampling=GREEDY))


def test_a_step_beyond_the_limit_is_truncated(policy: LanguageModelPolicy) -> None:
    [proposal] = propose(policy, STATES[:1], n=2, sampling=Sampling(temperature=0.0, max_tokens=3))
    assert [(step.ending, step.tokens) for step in proposal.steps] == [("truncated", 3)] * 2


def test_a_state_that_does_not_fit_is_said_so(policy: LanguageModelPolicy) -> None:
    long = State(Problem("How much is " + "1 + " * 3000 + "1?"))
    with pytest.raises(ContextOverflow):
        propose(policy, [long])


def test_more_prompts_at_a_time_than_a_forward_pass_takes(policy: LanguageModelPolicy) -> None:
    """vLLM reads at most 2048 tokens per pass on a CPU, so that one prompt does not fit as a whole."""
    states = [State(Problem(" ".join(["How many?"] * (20 + each % 7)), id=f"{each}")) for each in range(128)]
    assert all(len(each.steps) == 1 for each in propose(policy, states, sampling=Sampling(1.0, 1.0, 4)))


def test_cancelled_proposals_leave_the_backend_working(policy: LanguageModelPolicy) -> None:
    before = texts(propose(policy, STATES[:2], n=2))

    async def give_up() -> None:
        tasks = [asyncio.create_task(policy.propose(state, 8, SAMPLING, 1)) for state in STATES]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(each, asyncio.CancelledError) for each in ended)

    asyncio.run(give_up())
    assert texts(propose(policy, STATES[:2], n=2)) == before


def test_its_name_finds_it_again(policy: LanguageModelPolicy) -> None:
    assert isinstance(policy.format, BoundFormat)
    assert "toy" in policy.name


def test_distinct_candidates_are_drawn_or_refused(policy: LanguageModelPolicy) -> None:
    sampling = replace(SAMPLING, distinct=True)
    if isinstance(policy, TransformersPolicy):
        proposal = asyncio.run(policy.propose(STATES[0], 4, sampling, 1))
        assert len({step.text for step in proposal.steps}) == 4
    else:
        with pytest.raises(TreestarError, match="cannot draw distinct candidates: leave `distinct` off"):
            asyncio.run(policy.propose(STATES[0], 4, sampling, 1))
