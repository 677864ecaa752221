"""Public reward models that vLLM computes: the same values as with transformers. Most run under `make test-vllm`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.reward_model_makers import MAKERS, causal, process_head
from support.reward_models import byte_tokenizer

from treestar.ppm import load_scorer
from treestar.ppm.public import ScorerKind
from treestar.ppm.public.checkpoint import read_checkpoint
from treestar.ppm.public.choose import CONVENTIONS
from treestar.ppm.public.scorer import PublicScorer
from treestar.ppm.public.vllm import VLLMPublicScorer, asking_of
from treestar.types import Execution, Problem, Scores, State, Step, TreestarError

STEPS = ("First, 4 + 5 is 9.", "Then multiply:\n\n3 * 9 = 27.", "Check: 27 / 3 = 9", "So it is \\boxed{27}.")

ENGINE = "enforce_eager=true&max_model_len=512&block_size=32"
"""Starts quickly: nothing is compiled."""

ONE_HEAD = {"num_attention_heads": 1, "num_key_value_heads": 1}
"""On a CPU vLLM needs heads of at least 32 dimensions."""

CAUSAL: tuple[ScorerKind, ...] = ("versa-prm", "math-psa", "math-shepherd", "rlhflow-prm", "rlhflow-orm", "yes-no")
"""The kinds that compare two tokens. One model, so one engine, serves them all here."""


def state(*steps: str, question: str = "How much is 3 * (4 + 5)?") -> State:
    return State(Problem(question), tuple(Step(each) for each in steps), (Execution(),) * len(steps))


STATES = [
    *[state(*STEPS[:depth]) for depth in range(1, 5)],
    *[state(*STEPS[:2], f"A sibling, number {number}") for number in range(4)],
    *[state(f"x = {number}", question="x + 1 = 4. What is x?") for number in range(3)],
]


def ask(scorer: PublicScorer, *requests: Sequence[State]) -> list[Scores]:
    """Run all requests concurrently."""

    async def together() -> list[Scores]:
        return await asyncio.gather(*(scorer.score(states) for states in requests))

    return asyncio.run(together())


def expect_same_values(scorer: PublicScorer, reference: PublicScorer) -> None:
    """One state, a batch with siblings, and states asked for twice at the same time."""
    [expected] = ask(reference, STATES)
    assert len({round(each, 6) for each in expected.values}) == len(STATES)
    one, many, again = ask(scorer, STATES[:1], STATES[1:], STATES[2:6])
    assert one.values == pytest.approx(expected.values[:1], abs=1e-4)
    assert many.values == pytest.approx(expected.values[1:], abs=1e-4)
    assert again.values == many.values[1:5]
    assert many.of_paths
    [remembered] = ask(scorer, STATES)
    assert remembered.values == one.values + many.values
    assert remembered.tokens == 0


@pytest.fixture(scope="module")
def causal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = causal("model", " \n\n\n\n", " \n\n\n\n\n", "ки", **ONE_HEAD)
    return make(tmp_path_factory.mktemp("causal"), byte_tokenizer())


@pytest.fixture(scope="module")
def served(causal_folder: Path) -> Iterator[VLLMPublicScorer]:
    scorer = load_scorer(f"vllm:{causal_folder}?{ENGINE}", dtype="float32", scorer_kind="versa-prm", aggregate="mean")
    assert isinstance(scorer, VLLMPublicScorer)
    yield scorer
    asyncio.run(scorer.close())


def of_kind(served: VLLMPublicScorer, folder: Path, kind: ScorerKind) -> VLLMPublicScorer:
    """Another reading of the model that the engine computes."""
    convention = CONVENTIONS[kind](read_checkpoint(str(folder), str(folder)))
    return VLLMPublicScorer(convention, served.engine, asking_of(convention), "mean")


@pytest.mark.vllm
class TestCausalModels:
    @pytest.mark.parametrize("kind", CAUSAL)
    def test_values_are_those_of_transformers(
        self, served: VLLMPublicScorer, causal_folder: Path, kind: ScorerKind
    ) -> None:
        reference = load_scorer(str(causal_folder), "cpu", dtype="float32", scorer_kind=kind, aggregate="mean")
        assert isinstance(reference, PublicScorer)
        expect_same_values(of_kind(served, causal_folder, kind), reference)

    def test_a_child_is_read_from_the_prefix_cache(self, served: VLLMPublicScorer) -> None:
        question = "How many sides has a hexagon? " * 5
        parent, child = state(*STEPS[:3], question=question), state(*STEPS, question=question)
        length = len(served.row_of(child))
        [first], [second] = ask(served, [parent]), ask(served, [child])
        assert first.tokens >= len(served.row_of(parent))
        assert 0 < second.tokens <= length - len(served.row_of(parent)) + 32

    def test_what_fills_the_context_is_scored_and_what_exceeds_it_as_its_steps_that_fit(
        self, served: VLLMPublicScorer
    ) -> None:
        assert served.context == 511
        room = served.context - len(served.row_of(state("It is 5", "x"))) + 1
        full, too_long = state("It is 5", "x" * room), state("It is 5", "x" * (room + 1))
        assert len(served.row_of(full)) == served.context
        assert ask(served, [full])[0].values != (0.0,)
        with pytest.warns(RuntimeWarning, match="exceed the 511 tokens"):
            [found] = ask(served, [too_long, state("It is 5"), state()])
        assert found.values[0] == found.values[1] != 0
        assert found.values[2] == 0


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize(
    ("make", "kind", "aggregate"),
    [
        (MAKERS["Skywork-Reward-V2"][1], "reward-model", "last"),
        (process_head("Qwen2.5-Math-PRM-7B", 2, "Qwen2ForProcessRewardModel", **ONE_HEAD), "qwen-math-prm", "product"),
    ],
    ids=["reward-model", "qwen-math-prm"],
)
def test_classifiers_are_read_before_their_activation(
    tmp_path: Path, make: Callable[[Path, Any], Path], kind: str, aggregate: str
) -> None:
    folder = make(tmp_path, byte_tokenizer())
    reference = load_scorer(str(folder), "cpu", dtype="float32")
    scorer = load_scorer(f"vllm:{folder}?{ENGINE}", dtype="float32")
    assert isinstance(reference, PublicScorer)
    assert isinstance(scorer, VLLMPublicScorer)
    assert scorer.name == f"vllm:{folder}?{ENGINE} ({kind}, {aggregate})"
    expect_same_values(scorer, reference)
    asyncio.run(scorer.close())


def test_kinds_that_vllm_does_not_compute_are_refused(tmp_path: Path) -> None:
    for name in ("TRL", "Skywork-o1-Open-PRM", "ReasonEval-34B", "EurusPRM", "Qwen2.5-Math-RM"):
        folder = MAKERS[name][1](tmp_path / name, byte_tokenizer())
        with pytest.raises(TreestarError, match="cannot be computed through vLLM: give the folder or hub id alone"):
            load_scorer(f"vllm:{folder}")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_is_said_what_to_install(causal_folder: Path) -> None:
    with pytest.raises(TreestarError, match=r"pip install 'treestar\[vllm\]'"):
        load_scorer(f"vllm:{causal_folder}", scorer_kind="yes-no")
