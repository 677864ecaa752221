"""The fetched SmolLM2-135M-Instruct: its files, its tokens, and the text that transformers itself writes with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.real_model import REAL_MODEL, real_model_path

from treestar import MajorityConfig, Solver
from treestar.policy import load_policy
from treestar.policy.models import FETCHABLE, load_causal_model, load_generation_config, load_tokenizer
from treestar.policy.models.fetch import digest
from treestar.types import Problem, Sampling, State

pytestmark = pytest.mark.real

TOKENS = {
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
    "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
    "  multiple   spaces": [216, 2701, 256, 5600],
    "\n": [198],
}
"""Published tokens of the released tokenizer."""

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@pytest.fixture(scope="module")
def folder() -> Path:
    return real_model_path()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return load_tokenizer(str(folder))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    import torch

    return load_causal_model(str(folder), dtype=torch.float32).eval()


def test_the_tokenizer_is_the_released_one(folder: Path) -> None:
    """Written in the layout of the release, it is the same file to the byte."""
    file = folder / "tokenizer.json"
    released = FETCHABLE[REAL_MODEL].hub_files["tokenizer.json"]
    if digest(file) != released:
        assert hashlib.sha256(in_released_layout(json.loads(file.read_text())).encode()).hexdigest() == released


def in_released_layout(found: dict[str, Any]) -> str:
    """The text of the tokenizer's file as the library wrote it when the model was released."""
    settings = {"unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    found["model"] |= {
        **{name: found["model"][name] or None for name in settings},
        "vocab": dict(sorted(found["model"]["vocab"].items(), key=lambda item: item[1])),
        "merges": [" ".join(pair) for pair in found["model"]["merges"]],
    }
    order = ("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer")
    without = {"post_processor": None, "decoder": found["decoder"], "model": found["model"]}  # it adds no token
    return json.dumps({**{name: found[name] for name in order}, **without}, indent=2, ensure_ascii=False)


def test_tokens(tokenizer: Any) -> None:
    for text, ids in TOKENS.items():
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        assert tokenizer.decode(ids) == text
    assert tokenizer.tokenize("x\n\n12") == ["x", "ĊĊ", "1", "2"]
    assert tokenizer.encode("<|im_start|>user\n<|im_end|>") == [1, 4093, 198, 2], "nothing is added around a text"


def test_chat_prompt_and_ends(folder: Path, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "1 + 1?"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.pad_token_id) == ("<|im_end|>", 2, 2)
    assert tokenizer.model_max_length == 8192
    generation = load_generation_config(str(folder))
    assert (generation.bos_token_id, generation.eos_token_id, generation.pad_token_id) == (1, 2, 2)


def test_it_answers_and_ends_its_reply(model: Any, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert written_by_transformers(model, tokenizer, prompt, 30) == "The capital of France is Paris.<|im_end|>"


def test_a_policy_writes_what_transformers_writes(model: Any, tokenizer: Any) -> None:
    """In a format whose tags the model does not know, so that nothing stops it before the limit."""
    policy = load_policy(REAL_MODEL, "rstar", "cpu", dtype="float32")
    state = State(Problem("A train travels 60 miles in 1.5 hours. What is its speed?"))
    proposal = asyncio.run(policy.propose(state, 1, Sampling(temperature=0.0, max_tokens=40), seed=0))
    prompt = tokenizer.encode(policy.format.prompt(state), add_special_tokens=False)
    assert proposal.steps[0].text == written_by_transformers(model, tokenizer, prompt, 40)
    assert proposal.generated_tokens == 40


def written_by_transformers(model: Any, tokenizer: Any, prompt: list[int], tokens: int) -> str:
    import torch

    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False)
    return str(tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=False))


def test_a_solver_takes_it_by_name() -> None:
    real_model_path()
    search = MajorityConfig(samples=2, max_step_tokens=24, max_depth=2)
    with Solver(REAL_MODEL, search) as solver:
        [result] = solver.solve_many([Problem("What is 2 + 3?", "5")])
    assert result.tree is not None
    assert len(result.tree.nodes) > 1
    assert result.stats.generated_tokens > 0
