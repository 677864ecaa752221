"""What is worth knowing about a GPU in eight minutes: equal results, tokens per second, training.

    bash bench/cuda.sh [--model smollm2-135m]     # on the machine with the GPU; see there for the packages
    python bench/cuda.py --device cpu --tiny      # a rehearsal without one

1. `equality`: greedy tokens of the toy policy and of the model on the device, in float32, beside the CPU's; scores
   of the toy PPM, largest difference.
2. `speed`: tokens per second of search and of raw generation of the same tokens, with 128 and 512 problems in flight,
   in bfloat16, of the model and of a random one with 1.5 billion parameters (Qwen2.5-1.5B's shape).
3. `training`: one epoch of fine-tuning and one of a PPM on the model: seconds, tokens per second, losses.

Without the model's files its shape is used with random weights, and the record says so. Every part that ends is written
to bench/results/cuda.json at once, so that a run that is cut off leaves what it has measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from throughput import RecordingPolicy, generate_raw, search

from treestar import MCTSConfig, Problem, TreestarError
from treestar.benchmarks.gym import make_problems
from treestar.policy import TransformersPolicy, load_policy
from treestar.policy.formats import INSTRUCT, CotFormat, FormatName
from treestar.policy.models import policy_path
from treestar.ppm import load_scorer
from treestar.search import Tree
from treestar.storage.record import write_record
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.ppm.train import train_ppm
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.data import SFTRow
from treestar.training.sft.train import train_policy
from treestar.types import Execution, Sampling, State, Step

RECORD = Path(__file__).parent / "results" / "cuda.json"
DEPTH = 4

SMALL_SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
"""SmolLM2-135M."""
LARGE_SHAPE = {
    "vocab_size": 151936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
"""Qwen2.5-1.5B."""
TINY_SHAPE = {
    "vocab_size": 4096,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


class FixedSteps(CotFormat):
    """Steps of a fixed number of tokens and paths of a fixed length, whatever the model writes: every run does the same
    amount of work, also with random weights."""

    def goes_on(self, text: str) -> bool:
        return False

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return ()

    def parse(self, state: State, text: str, ended: bool) -> Step:
        is_last = len(state.steps) == DEPTH - 1
        return Step(text, ending="answer" if is_last else "step", answer=text if is_last else None)


def equality(device: str, model: str | None, problems: int, tokens: int) -> dict[str, Any]:
    """Results on the device beside those on the CPU, in float32."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    asked = gym_problems(problems)
    forms: dict[str, FormatName | None] = {"toy": None, **({model: "cot"} if model else {})}
    found: dict[str, Any] = {}
    for name, step_format in forms.items():
        here, there = (
            [greedy(load_policy(name, step_format, device=each, dtype="float32"), problem, tokens) for problem in asked]
            for each in ("cpu", device)
        )
        found[name] = {"problems": problems, "equal_tokens": sum(a == b for a, b in zip(here, there, strict=True))}
    states = [State(problem, (Step("x = 1", "x = 1"),), (Execution(),)) for problem in asked]
    values = []
    for each in ("cpu", device):
        scorer = load_scorer("toy", device=each, dtype="float32")
        values.append(asyncio.run(scorer.score(states)).values)
    found["largest_difference_of_scores"] = max(abs(a - b) for a, b in zip(*values, strict=True))
    return found


def greedy(policy: Any, problem: Problem, tokens: int) -> list[int]:
    prompt = policy.prompt_tokens(State(problem))
    generation = asyncio.run(policy.generate(prompt, 1, Sampling(0.0, max_tokens=tokens), 0, ()))
    return list(generation.continuations[0].token_ids)


def speed(device: str, model: str | None, tiny: bool, repeats: int) -> dict[str, Any]:
    """Search beside raw generation of the same tokens."""
    shapes = {"small": TINY_SHAPE if tiny else SMALL_SHAPE, "large_random": TINY_SHAPE if tiny else LARGE_SHAPE}
    found: dict[str, Any] = {}
    for name, shape in shapes.items():
        is_real = model is not None and name == "small"
        policy = with_fixed_steps(model, device) if is_real and model else random_policy(shape, device)
        found[name] = {"weights": model if is_real else "random"}
        for in_flight in (4, 8) if tiny else (128, 512):
            config = MCTSConfig(
                max_rollouts=2,
                children=4,
                early_stop=False,
                max_depth=DEPTH,
                max_step_tokens=4 if tiny else 48,
                in_flight=1,
            )
            rates, shares = [], []
            for repeat in range(repeats):
                recording = RecordingPolicy(policy)
                problems = gym_problems(in_flight, repeat)
                searched = asyncio.run(search(recording, problems, in_flight, config))["run"]
                raw = asyncio.run(generate_raw(policy, recording.asked))
                rates.append(searched.rate)
                shares.append(searched.rate / raw.rate)
            found[name][str(in_flight)] = {
                "search_tokens_per_second": round(statistics.median(rates)),
                "search_over_raw": round(statistics.median(shares), 3),
                "spread": [round(min(shares), 3), round(max(shares), 3)],
            }
    return found


def with_fixed_steps(name: str, device: str) -> TransformersPolicy:
    policy: Any = load_policy(name, device=device, max_batch=512, dtype="bfloat16")
    policy.format = FixedSteps(policy.format.template, policy.format.family)
    return policy


def random_policy(shape: dict[str, Any], device: str) -> TransformersPolicy:
    """A model of that shape with random weights, on the toy tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = load_policy("toy", device="cpu").tokenizer
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=2048)).to(torch.bfloat16)
    step_format = FixedSteps(lambda messages: messages[-1]["content"], INSTRUCT)
    return TransformersPolicy(model, tokenizer, step_format, "random", max_batch=512)


def training(device: str, model: str, tiny: bool) -> dict[str, Any]:
    """One epoch of each kind of training on sums with two steps."""
    count = 8 if tiny else 4000
    use_cpu = {"use_cpu": True} if device == "cpu" else {}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        sft = train_policy(
            (sum_row(number) for number in range(count)),
            model,
            Path(folder) / "policy",
            SFTTrainingConfig(step_format="rstar", epochs=1),
        )
        between = time.perf_counter()
        trees = [sum_tree(number) for number in range(count // 4)]
        ppm = train_ppm(
            trees, model, Path(folder) / "ppm", PPMTrainingConfig(epochs=1), training_arguments=use_cpu or None
        )
        ended = time.perf_counter()
    return {
        "model": model,
        "sft_seconds": round(between - started, 1),
        "sft": {name: sft[name] for name in ("data", "losses") if name in sft},
        "ppm_seconds": round(ended - between, 1),
        "ppm": {name: ppm[name] for name in ("data", "pair_accuracy") if name in ppm},
    }


def sum_row(number: int) -> SFTRow:
    problem = Problem(f"What is {number} plus 2?", str(number + 2), f"sum-{number}")
    add, show = f"# add the numbers\ntotal = {number} + 2", "print(total)"
    told = Step(f"It is \\boxed{{{number + 2}}}.", ending="answer", answer=str(number + 2))
    steps = (Step(add, add), Step(show, show, "code"), told)
    return SFTRow(problem.id, State(problem, steps, (Execution(), Execution(f"{number + 2}\n"), Execution())))


def sum_tree(number: int) -> Tree:
    """A judged tree with a right first step and a wrong one."""
    tree = Tree(Problem(f"What is {number} plus 2?", str(number + 2), f"sum-{number}"), "mcts", {}, 0)
    root = tree.add_root(Execution())
    for operator, is_right in (("+", True), ("-", False)):
        code = f"total = {number} {operator} 2"
        node = tree.add_child(root, Step(code, code), Execution())
        leaf = tree.add_child(node, Step("print(total)", "print(total)", "code"), Execution("1"))
        leaf.terminal, leaf.answer, leaf.correct = "answer", "1", is_right
        for each in (leaf, node, root):
            each.visits += 1
            each.value_sum += 1.0 if is_right else -1.0
    return tree


def gym_problems(count: int, seed: int = 0) -> list[Problem]:
    return make_problems("chain_sum", "mid", "validation", count, seed=seed)


def at_hand(name: str) -> str | None:
    """`name` if its files are on this machine."""
    try:
        return name if Path(policy_path(name)).exists() else None
    except TreestarError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to rehearse without a GPU")
    parser.add_argument("--out", type=Path, default=RECORD)
    arguments = parser.parse_args()
    device, tiny, model = arguments.device, arguments.tiny, at_hand(arguments.model)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "equality": lambda: equality(device, model, 2 if tiny else 20, 4 if tiny else 64),
        "speed": lambda: speed(device, model, tiny, 1 if tiny else 3),
        "training": lambda: training(device, model or "toy-bootstrap", tiny),
    }
    figures: dict[str, Any] = {"device": device_name(device), "model": model or "not here: random weights"}
    for name, part in parts.items():
        started = time.perf_counter()
        try:
            figures[name] = part()
        except Exception as error:  # the other parts are still worth their minutes
            figures[name] = {"failed": f"{type(error).__name__}: {error}"}
        figures[name]["part_seconds"] = round(time.perf_counter() - started, 1)
        print(name, json.dumps(figures[name]), flush=True)
        write_record(arguments.out, figures, 0)


def device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device


if __name__ == "__main__":
    main()
