"""vLLM itself: names and arguments, PPMs, and a failing vLLM server. Most run under `make test-vllm`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.fault_proxy import Fault, FaultProxy
from support.served_policy import PROBLEMS, SEARCH, policy_at, propose, shape
from support.tiny_model import byte_tokenizer, tiny_model
from support.vllm_server import VLLMServer

from treestar import MCTSConfig, Solver, TreestarError
from treestar.policy import TransformersPolicy, load_policy
from treestar.policy.backends.vllm_engine import parse_vllm_name
from treestar.policy.formats import BoundFormat, CotFormat, ThinkingFormat, family_named
from treestar.policy.formats.templates import template_of
from treestar.policy.models import shipped_path
from treestar.ppm import load_scorer, ppm_from_policy
from treestar.ppm.openai import OpenAIScorer
from treestar.types import Execution, Problem, Sampling, Scorer, Scores, State, ThinkingBudget

MODEL_PATH = shipped_path("policy", "toy")
SMOLLM2 = Path.home() / ".cache/treestar/models/smollm2-135m"

EAGER = "enforce_eager=true&max_model_len=512"
"""Starts quickly: nothing is compiled."""


@pytest.fixture(scope="module")
def ppm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PPM over the toy policy with a random head."""
    import torch

    folder = tmp_path_factory.mktemp("ppm")
    ppm = ppm_from_policy("toy")
    torch.manual_seed(4)
    torch.nn.init.normal_(ppm.model.score.weight, std=0.1)
    ppm.save(folder)
    return folder


@pytest.fixture(scope="module", params=["vllm", "vllm serve"])
def scorer(
    request: pytest.FixtureRequest, ppm_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scorer]:
    if request.param == "vllm":
        engine = load_scorer(f"vllm:{ppm_folder}?block_size=32&{EAGER}", dtype="float32")
        yield engine
        asyncio.run(engine.close())
        return
    arguments = ("--runner", "pooling", "--max-model-len", "512")
    server = VLLMServer(ppm_folder, tmp_path_factory.mktemp("log") / "log", *arguments)
    yield OpenAIScorer("toy", server.url, BoundFormat())
    server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    server = VLLMServer(MODEL_PATH, tmp_path_factory.mktemp("vllm") / "log")
    yield server
    server.kill()


class TestNames:
    @pytest.mark.parametrize(
        ("name", "model", "arguments"),
        [
            ("vllm:toy", "toy", {}),
            (
                "vllm:Qwen/Qwen2.5-Math-7B?tensor-parallel-size=2&gpu_memory_utilization=0.8",
                "Qwen/Qwen2.5-Math-7B",
                {"tensor_parallel_size": 2, "gpu_memory_utilization": 0.8},
            ),
            ('vllm:./m?seed=3&hf_overrides={"a": [1]}', "./m", {"seed": 3, "hf_overrides": {"a": [1]}}),
        ],
    )
    def test_engine_arguments_follow_the_model(self, name: str, model: str, arguments: dict[str, Any]) -> None:
        assert parse_vllm_name(name) == (model, arguments)

    @pytest.mark.parametrize(("name", "sentence"), [("vllm:", "names no model"), ("vllm:m?dtype", "argument=value")])
    def test_names_that_name_nothing(self, name: str, sentence: str) -> None:
        with pytest.raises(TreestarError, match=sentence):
            load_policy(name)

    @pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
    @pytest.mark.parametrize("load", [load_policy, load_scorer])
    def test_without_vllm_it_is_said_what_to_install(self, load: Callable[[str], object], ppm_folder: Path) -> None:
        with pytest.raises(TreestarError, match=r"pip install 'treestar\[vllm\]'"):
            load(f"vllm:{ppm_folder}")

    @pytest.mark.vllm
    def test_an_unknown_argument_is_named(self) -> None:
        with pytest.raises(TreestarError, match=r"cannot start with the policy.*no_such_argument"):
            load_policy("vllm:toy?no_such_argument=1")


LOADS_AND_WAITS = f"""
import psutil, sys
from treestar.policy import load_policy
if __name__ == "__main__":
    policy = load_policy("vllm:toy?{EAGER}")
    print(*[each.pid for each in psutil.Process().children(recursive=True)], flush=True)
    sys.stdin.read()
"""


@pytest.mark.vllm
def test_the_engine_does_not_outlive_a_killed_process(tmp_path: Path) -> None:
    import psutil

    script = tmp_path / "load.py"  # a file, because vLLM starts its processes by importing it again
    script.write_text(LOADS_AND_WAITS)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        engine = [psutil.Process(int(number)) for number in process.stdout.readline().split()]
        process.kill()
    assert len(engine) >= 2
    gone, alive = psutil.wait_procs(engine, timeout=60)
    for each in alive:
        each.kill()
    assert not alive, f"{len(gone)} have ended"


@pytest.mark.vllm
class TestPPMs:
    def test_scores_are_those_of_the_checkpoint(self, scorer: Scorer, ppm_folder: Path) -> None:
        reference = load_scorer(str(ppm_folder), device="cpu", dtype="float32")
        states = states_of_a_search()
        found, expected = (asyncio.run(each.score(states)) for each in (scorer, reference))
        assert found.values == pytest.approx(expected.values, abs=1e-3)
        assert len(set(found.values)) > len(states) / 2
        again: Scores = asyncio.run(scorer.score(states))
        assert again.values == pytest.approx(found.values, abs=1e-3)
        assert 0 < again.tokens <= found.tokens

    def test_a_state_that_does_not_fit_scores_as_its_ancestor(self, scorer: Scorer) -> None:
        state = max(states_of_a_search(), key=lambda each: len(each.steps))
        times = 600 // len(state.steps)
        long = State(state.problem, state.steps * times, state.executions * times)
        [value] = asyncio.run(scorer.score([long])).values
        assert -1 <= value <= 1


@pytest.mark.vllm
def test_searches_with_policy_and_ppm_in_vllm(ppm_folder: Path) -> None:
    policy = load_policy(f"vllm:toy?{EAGER}", dtype="float32")
    scorer = load_scorer(f"vllm:{ppm_folder}?{EAGER}", dtype="float32")
    with Solver(policy, SEARCH, scorer) as solver:
        results = solver.solve_many(PROBLEMS)
    for result in results:
        assert result.tree is not None
        assert all(node.score is not None for node in result.tree.nodes if node.terminal is None and node.depth)
        assert result.answer is not None
        assert result.stats.scored_tokens > 0


@pytest.mark.vllm
class TestAServerOfVLLM:
    def test_a_search_survives_faults_and_its_trees_are_the_same(self, server: VLLMServer) -> None:
        faults: dict[int, Fault] = {3: "drop", 5: "500", 8: "half", 13: "garbage", 21: "429", 22: "502"}
        with Solver(policy_at(server.url), SEARCH) as solver:
            expected = [shape(result) for result in solver.solve_many(PROBLEMS)]
        with FaultProxy(server.port, faults.get) as proxy:
            policy = policy_at(proxy.url)
            with Solver(policy, SEARCH) as solver:
                found = [shape(result) for result in solver.solve_many(PROBLEMS)]
        assert found == expected
        assert sum(policy.server.failures.values()) == sum(proxy.injected.values()) == len(faults)
        assert "requests repeated" in policy.report()

    @pytest.mark.slow
    def test_a_server_killed_and_started_again_loses_no_problem(self, server: VLLMServer) -> None:
        policy = policy_at(server.url, patience=300.0)

        def kill_and_start() -> None:
            server.kill()
            server.start()

        restart = Thread(target=kill_and_start)

        def kill_once(_: object) -> None:
            if restart.ident is None:
                restart.start()

        with Solver(policy, MCTSConfig(max_rollouts=8, children=3), on_progress=kill_once) as solver:
            results = solver.solve_many(PROBLEMS)
        restart.join()
        assert [result.answer is not None for result in results] == [True] * len(PROBLEMS)
        assert policy.server.failures["connection failed"] > 0


@pytest.mark.vllm
class TestOrdinaryModels:
    """Models that write prose, behind vLLM's server: the same tokens as the model itself, step by step."""

    def test_a_tiny_model(self, tmp_path: Path) -> None:
        tokenizer, folder = byte_tokenizer(), tmp_path / "tiny"
        model = with_wide_heads()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        state, greedy = State(Problem("What is 2 * (3 + 4)?")), Sampling(temperature=0.0, max_tokens=24)
        form = CotFormat(template_of(tokenizer), family_named("tiny"))
        [unstopped] = asyncio.run(TransformersPolicy(model, tokenizer, form, "tiny").propose(state, 1, greedy, 0)).steps
        # Random bytes have no blank lines, so a letter that it writes ends its steps.
        letter = next(each for each in unstopped.text[1:] if each.isascii() and each.isalpha())
        form = CotFormat(template_of(tokenizer), family_named("tiny"), separator=letter)
        here = TransformersPolicy(model, tokenizer, form, "tiny")
        server = VLLMServer(folder, tmp_path / "log")
        try:
            there = policy_at(server.url, step_format=form, tokenizer=tokenizer)
            in_chats = policy_at(server.url, step_format=form, way="continuing")
            endings = step_by_step(here, there, state, greedy, steps=3)
            assert (len(endings), endings[0]) == (3, "step")
            assert "sent as token ids" in there.report()
            [chatted] = propose(in_chats, (state, 1, greedy, 0))
            assert chatted.steps[0].text == propose(there, (state, 1, greedy, 0))[0].steps[0].text
            assert in_chats.dialect.tells_stops
        finally:
            server.kill()

    def test_a_thought_is_forced_and_confidences_are_those_of_transformers(self, tmp_path: Path) -> None:
        tokenizer, folder, model = byte_tokenizer(), tmp_path / "tiny", with_wide_heads()
        tokenizer.add_tokens(["<think>", "</think>"])
        tokenizer.chat_template += "<think>\n"
        model.resize_token_embeddings(len(tokenizer))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        form = ThinkingFormat(template_of(tokenizer), family_named("tiny"))
        budget = Sampling(temperature=0.0, max_tokens=24, thinking=ThinkingBudget(max_tokens=7), confidence_top=4)
        state = State(Problem("What is 2 * (3 + 4)?"))
        [here] = asyncio.run(TransformersPolicy(model, tokenizer, form, "tiny").propose(state, 1, budget, 0)).steps
        policy = load_policy(f"vllm:{folder}?{EAGER}", "thinking", dtype="float32")
        try:
            [there] = asyncio.run(policy.propose(state, 1, budget, 0)).steps
        finally:
            asyncio.run(policy.close())  # type: ignore[attr-defined]
        assert here.token_ids[7] == tokenizer.convert_tokens_to_ids("</think>")
        assert (there.text, there.token_ids) == (here.text, here.token_ids)
        assert there.confidences == pytest.approx(here.confidences, rel=1e-3)

    @pytest.mark.real
    @pytest.mark.skipif(not SMOLLM2.is_dir(), reason="run `treestar models fetch smollm2-135m`")
    def test_smollm2(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        question = "Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether?"
        here = load_policy(str(SMOLLM2), "cot", dtype="float32")
        server = VLLMServer(SMOLLM2, tmp_path / "log", "--max-model-len", "1024")
        try:
            there = policy_at(server.url, step_format=here.format, tokenizer=here.tokenizer)
            greedy = Sampling(temperature=0.0, max_tokens=128)
            endings = step_by_step(here, there, State(Problem(question)), greedy, steps=8)
            assert endings[-1] == "answer"
            assert "sent as token ids" in there.report()
            # Without its tokenizer, the server continues the reply, but reads it as text: this model writes its blank
            # lines as two tokens, which come back as one, and goes on with other words than after its own tokens.
            in_chats = policy_at(server.url, step_format=here.format)
            assert step_by_step(here, in_chats, State(Problem(question)), greedy, steps=1) == endings[:1]
            assert "continues an unfinished reply, asked with continue_final_message" in in_chats.report()
        finally:
            server.kill()


def with_wide_heads() -> Any:
    """The tiny model with heads of 32 dimensions, the fewest that vLLM computes on a CPU."""
    import torch
    from transformers import LlamaForCausalLM

    config = type(tiny_model()[0].config).from_dict(tiny_model()[0].config.to_dict())
    config.update({"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32})
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def step_by_step(here: Any, there: Any, state: State, sampling: Sampling, steps: int) -> list[str]:
    """The endings of up to `steps` steps, which both policies write with the same text and tokens."""
    endings: list[str] = []
    while len(endings) < steps and "answer" not in endings:
        [expected] = asyncio.run(here.propose(state, 1, sampling, 0)).steps
        [[found]] = [each.steps for each in propose(there, (state, 1, sampling, 0))]
        assert (found.text, found.ending, found.answer) == (expected.text, expected.ending, expected.answer)
        assert there.tokenizer is None or found.token_ids == expected.token_ids
        assert found.log_probability == pytest.approx(expected.log_probability, abs=0.02)
        state = State(state.problem, (*state.steps, expected), (*state.executions, Execution()))
        endings.append(found.ending)
    return endings


def states_of_a_search() -> list[State]:
    """The states of all nodes that a search of the toy policy makes."""
    with Solver("toy", MCTSConfig(max_rollouts=3, children=3)) as solver:
        results = solver.solve_many(PROBLEMS)
    return [result.tree.state(node) for result in results if result.tree for node in result.tree.nodes if node.depth]
