"""Components: everything opened is closed, also when a later part cannot be loaded."""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import replace

import pytest
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy, ScriptedScorer, random_script

from treestar import (
    BeamSearchConfig,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
    Problem,
    RayConfig,
    Solver,
    TreestarError,
)
from treestar.components import DEFAULT_SCORER, ComponentsConfig, open_components, remarks_of, scorer_name
from treestar.sandbox import SandboxConfig


class Holding:
    """Records when it is closed."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


class HoldingPolicy(Holding, ScriptedPolicy):
    def report(self) -> str:
        return "requests repeated: 3 x connection failed"


class HoldingScorer(Holding, ScriptedScorer):
    def report(self) -> str:
        return ""


class HoldingExecutor(Holding, ScriptedExecutor):
    pass


class HoldingVerifier(Holding, ExactVerifier):
    pass


def holding_config() -> ComponentsConfig:
    return ComponentsConfig(
        policy=HoldingPolicy(random_script()),
        scorer=HoldingScorer(lambda state: 0.5),
        executor=HoldingExecutor(),
        verifier=HoldingVerifier(),
    )


def closed(config: ComponentsConfig) -> list[int]:
    parts = (config.policy, config.scorer, config.executor, config.verifier)
    return [part.closed for part in parts if isinstance(part, Holding)]


def test_components_are_closed_once_when_the_context_exits() -> None:
    config = holding_config()

    async def work() -> list[str]:
        async with open_components(config) as components:
            assert closed(config) == [0, 0, 0, 0]
            return remarks_of(components)

    assert asyncio.run(work()) == ["requests repeated: 3 x connection failed"]
    assert closed(config) == [1, 1, 1, 1]


@pytest.mark.parametrize("missing", ["policy", "scorer"])
def test_a_part_that_cannot_be_loaded_closes_the_others(missing: str) -> None:
    config = replace(holding_config(), **{missing: "./no-such-model"})

    async def work() -> None:
        async with open_components(config):
            raise AssertionError("nothing can be opened")

    with pytest.raises(TreestarError, match="no-such-model"):
        asyncio.run(work())
    assert closed(config) == [1, 1, 1]


def test_a_solver_that_cannot_be_made_closes_what_it_was_given() -> None:
    policy, executor = HoldingPolicy(random_script()), HoldingExecutor()
    with pytest.raises(TreestarError, match="no-such-model"):
        Solver(policy, MCTSConfig(), "./no-such-model", executor)
    assert (policy.closed, executor.closed) == (1, 1)


def test_a_policy_brings_its_scorer_where_a_strategy_is_guided_by_one() -> None:
    for guided in (MCTSConfig, BeamSearchConfig):
        assert scorer_name("embedded", DEFAULT_SCORER, [GreedyConfig, guided]) == "embedded"
    assert scorer_name("embedded", DEFAULT_SCORER, [GreedyConfig, MajorityConfig]) is None
    assert scorer_name("toy", DEFAULT_SCORER, [MCTSConfig]) is None
    assert scorer_name(ScriptedPolicy(random_script()), DEFAULT_SCORER, [MCTSConfig]) is None
    assert scorer_name("embedded", "none", [MCTSConfig]) is None
    assert scorer_name("embedded", "./other", [GreedyConfig]) == "./other"


def test_components_can_be_loaded_without_a_scorer_by_that_word() -> None:
    async def work() -> object:
        async with open_components(replace(holding_config(), scorer="none")) as components:
            return components.scorer

    assert asyncio.run(work()) is None


def test_names_and_settings_can_be_sent_to_another_process() -> None:
    config = ComponentsConfig(policy="vllm:x", scorer="y", executor=SandboxConfig(seconds=1.0), dtype="float32")
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_closing_solver_tells_what_its_components_report() -> None:
    said: list[str] = []
    config = holding_config()
    with Solver(config.policy, executor=config.executor, verifier=config.verifier, on_remark=said.append) as solver:
        solver.solve(Problem("question 1", "1"))
        assert said == []
    assert said == ["requests repeated: 3 x connection failed"]
    assert closed(config) == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("policy", ScriptedPolicy(random_script())),
        ("scorer", ScriptedScorer(lambda state: 0.5)),
        ("executor", ScriptedExecutor()),
        ("verifier", ExactVerifier()),
    ],
)
def test_actors_take_names_and_no_objects(name: str, given: object) -> None:
    with pytest.raises(ValueError, match=rf"{name} is a {type(given).__name__} object, but each actor loads its own"):
        Solver(ray=RayConfig(), **{name: given})
