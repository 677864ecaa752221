"""The trainings for a GPU, on a tiny model and the CPU: the same numbers as transformers and peft, and they learn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from recipes.word_problems.float8 import store_in_float8
from recipes.word_problems.gpu.batches import Row, batches, log_probabilities, read_rows
from recipes.word_problems.gpu.llama import Adapter, Shape, Weights, hidden_states, new_adapter, with_adapter
from recipes.word_problems.gpu.prepare import measured_questions, write_rows
from recipes.word_problems.gpu.rounding import rounded
from recipes.word_problems.gpu.sampling import Marks, Sampler
from recipes.word_problems.gpu.stored import read_adapter, save_adapter
from recipes.word_problems.gpu.teach import Question, Training, learn_by_reward, learn_by_rows
from recipes.word_problems.gpu.verify import Comparison, Verifier, learn_by_pairs, pair_accuracy, scores
from treestar.training.sft.data import NO_LOSS, TokenRow

MARKS = Marks(step=11, code=12, close=13, line=14, padding=2)
TOKENS = 1_920
PLENTY = 1e9
"""Seconds: so many that the learning rate does not fall, and another condition ends a training."""


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=True,
        initializer_range=0.3,
        pad_token_id=2,
        eos_token_id=None,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def weights(model: Any) -> Weights:
    return {name: weight.detach() for name, weight in model.state_dict().items()}


@pytest.fixture(scope="module")
def shape(model: Any) -> Shape:
    return Shape.of(model.config)


def training_of(weights: Weights, shape: Shape, rank: int = 4) -> Training:
    torch.manual_seed(1)
    return Training(weights, new_adapter(weights, rank, 4.0), shape, MARKS.padding, compiled=False, tokens=TOKENS)


def random_adapter(weights: Weights) -> Adapter:
    torch.manual_seed(2)
    adapter = new_adapter(weights, 3, 4.0)
    with torch.no_grad():
        for up, _ in adapter.factors.values():
            up.normal_(std=0.05)
    return adapter


def test_rows_of_any_length_are_read_as_transformers_reads_them(model: Any, weights: Weights, shape: Shape) -> None:
    ids = torch.randint(3, 64, (5, 12), generator=torch.Generator().manual_seed(0))
    hidden = hidden_states(weights, ids, shape)
    expected = model(ids).logits
    torch.testing.assert_close(hidden @ weights["model.embed_tokens.weight"].T, expected, rtol=1e-4, atol=1e-4)


def test_likely_tokens_are_those_of_transformers(model: Any, weights: Weights, shape: Shape) -> None:
    prompts = [[5, 9, 3, 4], [7] * 40, [21, 33], [8, 8, 4, 5, 6, 7, 30]]
    sampler = Sampler(weights, shape, Marks(100, 100, 100, 100, padding=2), longest=12, rows=3)
    found = sampler.sample(prompts, 1, 0.0)
    for prompt, written in zip(prompts, found, strict=True):
        expected = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=12)[0, len(prompt) :].tolist()
        expected = expected[: expected.index(2)] if 2 in expected else expected
        assert written == expected


def test_samples_follow_the_models_probabilities(model: Any, weights: Weights, shape: Shape) -> None:
    torch.manual_seed(3)
    sampler = Sampler(weights, shape, Marks(100, 100, 100, 100, padding=2), longest=1, rows=4000)
    found = Counter(written[0] if written else 2 for written in sampler.sample([[5, 9, 3]], 4000, 1.0))
    chances = model(torch.tensor([[5, 9, 3]])).logits[0, -1].softmax(-1)
    for token in range(64):
        chance = chances[token].item()
        assert abs(found[token] / 4000 - chance) < 5 * (chance / 4000) ** 0.5 + 1e-3


def test_a_line_break_follows_a_step_and_nothing_a_program(weights: Weights, shape: Shape) -> None:
    forced = {name: weight.clone() for name, weight in weights.items()}
    sampler = Sampler(forced, shape, MARKS, longest=6, rows=2)
    # The prompt ends as a step does; what the model itself would write does not matter.
    [written] = sampler.sample([[5, MARKS.step, MARKS.close]], 1, 0.0)
    assert written[0] == MARKS.line
    always_close = {**forced, "model.embed_tokens.weight": forced["model.embed_tokens.weight"].clone()}
    sampler = Sampler(always_close, shape, Marks(99, 12, close=int(written[1]), line=14, padding=2), longest=6, rows=1)
    [first] = sampler.sample([[5, MARKS.step, MARKS.close, MARKS.line]], 1, 0.0)
    marks = Marks(99, code=first[0], close=first[1], line=14, padding=2)
    [program] = Sampler(forced, shape, marks, longest=6, rows=1).sample([[5, 11, 13, 14]], 1, 0.0)
    assert program == first[:2]


def test_an_adapter_means_to_peft_what_it_means_here(
    model: Any, weights: Weights, shape: Shape, tmp_path: Path
) -> None:
    adapter = random_adapter(weights)
    (tmp_path / "config.json").write_text('{"hidden_size": 32, "treestar_calibrations": {}}')
    save_adapter(adapter, "some-base", tmp_path / "config.json", tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "config.json").read_text()) == {"hidden_size": 32}
    ids = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(0))
    copy = LlamaForCausalLM(model.config).eval()
    copy.load_state_dict(model.state_dict())
    expected = PeftModel.from_pretrained(copy, tmp_path / "adapter")(ids).logits
    changed = with_adapter(weights, adapter)
    found = hidden_states(changed, ids, shape) @ weights["model.embed_tokens.weight"].T
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    again = with_adapter(weights, read_adapter(tmp_path / "adapter", 1.0, torch.device("cpu")))
    assert all(torch.equal(again[name], changed[name]) for name in weights)


def test_a_rounded_adapter_is_stored_without_loss(weights: Weights, tmp_path: Path) -> None:
    adapter = rounded(random_adapter(weights))
    (tmp_path / "config.json").write_text("{}")
    save_adapter(adapter, "some-base", tmp_path / "config.json", tmp_path / "adapter")
    store_in_float8(tmp_path / "adapter", tmp_path / "small")
    before, after = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("adapter", "small"))
    for name, factor in before.items():
        small = after[name].float()
        power = float(small.abs().max() / factor.abs().max())
        torch.testing.assert_close(small / power, factor, rtol=0, atol=float(factor.abs().max()) * 1e-5)


def test_gradients_pass_through_the_rounding(weights: Weights) -> None:
    adapter = random_adapter(weights)
    sum((up**2).sum() for up, _ in rounded(adapter).factors.values()).backward()
    assert all(up.grad is not None and bool((up.grad != 0).any()) for up, _ in adapter.factors.values())


def test_training_on_rows_lowers_their_loss(weights: Weights, shape: Shape) -> None:
    training = training_of(weights, shape)
    rows = [Row([5, 9, 3, 4, 30, 31, 32, 33], [False] * 4 + [True] * 4) for _ in range(30)]
    ids, learned = training.tensors(rows[:1])
    before = log_probabilities(training.merged(), ids, learned > 0, shape, False).mean().item()
    learn_by_rows(training, rows, PLENTY, highest=5e-3, warmup=2, epochs=30)
    after = log_probabilities(training.merged(), ids, learned > 0, shape, False).mean().item()
    assert after > before + 1


def test_training_on_rewards_makes_rewarded_programs_likely(weights: Weights, shape: Shape) -> None:
    torch.manual_seed(4)
    training = training_of(weights, shape)
    sampler = Sampler(weights, shape, Marks(100, 100, 100, 100, padding=2), longest=4, rows=128)

    def judge(programs: Any, _: Any) -> list[bool]:
        return [33 in program for program in programs]

    questions = [Question(str(place), "", [5, 9, place % 20 + 3], "", "x") for place in range(800)]

    def share() -> float:
        with torch.no_grad():
            sampler.load(training.merged())
        return sum(judge(sampler.sample([each.prompt for each in questions[:32]], 4, 1.0), None)) / 128

    before = share()
    learn_by_reward(training, sampler, judge, questions, PLENTY, 2e-2, per_step=16, group=8, updates=1, warmup=1)
    assert share() > before + 0.2


def test_batches_hold_every_row_once() -> None:
    random = Random(0)
    rows = [Row([place] * random.randrange(1, 500), [True]) for place in range(300)]
    found = batches(rows, Random(1), TOKENS)
    assert sorted(row.ids[0] for batch in found for row in batch) == [row.ids[0] for row in rows if len(row.ids) <= 480]
    assert all(len(batch) * max(len(row.ids) for row in batch) <= TOKENS for batch in found)


def test_a_verifier_learns_which_states_are_preferred(weights: Weights, shape: Shape) -> None:
    random = Random(0)

    def question() -> Comparison:
        states = [[random.randrange(20, 60) for _ in range(random.randrange(4, 60))] for _ in range(2)]
        return Comparison([[*states[0], 7], [*states[1], 9]], [(0, 1, 1.0)])

    training = training_of(weights, shape)
    verifier = Verifier(training, torch.zeros(32, requires_grad=True))
    assert pair_accuracy(verifier, [question() for _ in range(20)]) == (0.5, 20)
    learn_by_pairs(verifier, [question() for _ in range(200)], PLENTY, highest=1e-2)
    assert pair_accuracy(verifier, [question() for _ in range(50)])[0] > 0.9
    better, worse, longer = scores(verifier, [[5, 7], [5, 9], [8] * 100 + [7]])
    assert -1 <= worse < better <= 1
    assert longer > worse


def test_prepared_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [TokenRow((5, 6, 7), (NO_LOSS, 6, 7)), TokenRow((8, 9), (NO_LOSS, 9)), TokenRow((3,), (NO_LOSS,))]
    write_rows(tmp_path / "taught.npz", rows)
    found = read_rows(tmp_path / "taught.npz")
    assert [tuple(row.ids) for row in found] == [row.ids for row in rows]
    assert [list(row.learned) for row in found] == [[False, True, True], [False, True], [False]]


def test_only_what_is_kept_apart_from_training_is_measured(tmp_path: Path) -> None:
    def write(name: str, *rows: dict[str, Any]) -> None:
        lines = [json.dumps({"id": f"{name}-{place}", "question": "?", **row}) for place, row in enumerate(rows)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))

    for name in ("svamp", "gsm8k_test", "gsm_hard"):
        write(name, {"answer": 5, "source": "elsewhere"})
    asdiv = [{"numeric": True, "asdiv_a": False}, {"numeric": False}, {"numeric": True, "asdiv_a": True}]
    write("asdiv", *[{"answer": "1", **row} for row in asdiv])
    write("math500", *[{"answer": "1", "level": level} for level in (1, "2", 3)])
    rows = measured_questions(tmp_path)
    sources = Counter(row["source"] for row in rows)
    assert sources == {
        "everyday": 100, "everyday_check": 100, "everyday_fresh": 100,
        "svamp": 1, "gsm8k": 1, "asdiv": 1, "math12": 2, "gsm_hard": 1,
    }  # fmt: skip
    assert {type(row["answer"]) for row in rows} == {str}
