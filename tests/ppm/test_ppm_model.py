"""The PPM's checkpoint: its scores equal those of transformers, in its own layout and in the released one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_model import save_tiny_model, tiny_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from treestar.ppm.encoding import Encoded, encode
from treestar.ppm.model import PPM, load_ppm, ppm_from_policy
from treestar.types import Execution, Problem, State, Step, TreestarError

STATES = [
    State(
        Problem(f"How much is {number} and 3?"),
        (Step(f"a = {number}", "a"), Step("print(a + 3)", "print(a + 3)", "code"))[:depth],
        (Execution(), Execution("5"))[:depth],
    )
    for number, depth in [(2, 2), (123456, 1), (7, 0), (19, 2)]
]


def toy(folder: Path) -> str:
    return "toy"


def qwen2(folder: Path) -> str:
    """A tiny random Qwen2 whose config and tokenizer have no padding token."""
    _, tokenizer = tiny_model()
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "pad_token"})
    )
    return str(folder)


POLICIES = pytest.mark.parametrize("policy", [toy, qwen2])


def with_random_head(name: str) -> PPM:
    ppm = ppm_from_policy(name)
    torch.manual_seed(2)
    torch.nn.init.normal_(ppm.model.score.weight, std=0.3)
    ppm.model.eval()
    return ppm


def batch(ppm: PPM, encoded: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and ends; short rows are padded."""
    columns, steps = max(len(each.ids) for each in encoded), max(len(each.ends) for each in encoded)
    padding = ppm.tokenizer.pad_token_id
    ids = torch.tensor([each.ids + [padding] * (columns - len(each.ids)) for each in encoded])
    mask = torch.tensor([[1] * len(each.ids) + [0] * (columns - len(each.ids)) for each in encoded])
    ends = torch.tensor([each.ends + [0] * (steps - len(each.ends)) for each in encoded])
    return ids, mask, ends


@POLICIES
def test_a_new_ppm_scores_zero_and_learns(policy: Callable[[Path], str], tmp_path: Path) -> None:
    ppm = ppm_from_policy(policy(tmp_path))
    inputs = batch(ppm, [encode(ppm.tokenizer, ppm.step_format, state) for state in STATES])
    scores = ppm.scores(*inputs)
    assert scores.shape == (len(STATES), 3)
    assert scores.abs().max() == 0
    scores[0, 2].sub(scores[3, 2]).neg().backward()
    assert ppm.model.score.weight.grad.abs().sum() > 0


@POLICIES
def test_transformers_loads_the_checkpoint_and_pools_the_same_logit(
    policy: Callable[[Path], str], tmp_path: Path
) -> None:
    ppm = with_random_head(policy(tmp_path / "policy"))
    ppm.save(tmp_path / "ppm")
    model, info = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ppm", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.num_labels == 1
    assert model.config.architectures == [type(model).__name__]
    assert model.config.treestar_format == ppm.step_format.name
    weights = load_file(tmp_path / "ppm" / "model.safetensors")
    assert weights["score.weight"].shape == (1, model.config.hidden_size)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ppm")
    encoded = [encode(tokenizer, ppm.step_format, state) for state in STATES]
    padded = tokenizer.pad({"input_ids": [each.ids for each in encoded]}, return_tensors="pt")
    with torch.inference_mode():
        theirs = model.eval()(**padded).logits[:, 0]
        last = torch.tensor([[each.ends[-1]] for each in encoded])
        ours = ppm.logits(padded["input_ids"], padded["attention_mask"], last)[:, 0]
        scores = ppm.scores(padded["input_ids"], padded["attention_mask"], last)[:, 0]
    assert theirs.std() > 0.01
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scores, theirs.tanh(), atol=1e-5, rtol=1e-5)
    again = load_ppm(str(tmp_path / "ppm"), device="cpu", dtype="float32")
    with torch.inference_mode():
        torch.testing.assert_close(again.logits(padded["input_ids"], padded["attention_mask"], last)[:, 0], ours)


@POLICIES
def test_one_pass_reads_what_each_state_scores_alone(policy: Callable[[Path], str], tmp_path: Path) -> None:
    ppm = with_random_head(policy(tmp_path))
    encoded = [encode(ppm.tokenizer, ppm.step_format, state) for state in STATES]
    with torch.inference_mode():
        together = ppm.scores(*batch(ppm, encoded))
        for row, each in enumerate(encoded):
            for depth, end in enumerate(each.ends):
                alone = ppm.scores(*batch(ppm, [Encoded(each.ids[: end + 1], [end])]))[0, 0]
                torch.testing.assert_close(together[row, depth], alone, atol=1e-5, rtol=1e-5)


def test_a_bf16_backbone_keeps_the_ranking_of_near_scores(tmp_path: Path) -> None:
    """The head's arithmetic is float32, so its outputs are not rounded to bf16."""
    with_random_head("toy").save(tmp_path)
    ppm = load_ppm(str(tmp_path), device="cpu", dtype="bfloat16")
    with torch.inference_mode():
        logits = ppm.logits(*batch(ppm, [encode(ppm.tokenizer, ppm.step_format, state) for state in STATES]))
    assert logits.dtype == torch.float32
    assert (logits != logits.bfloat16().float()).any()


def save_released_layout(folder: Path, **head: torch.Tensor) -> Path:
    """As `save_rm.py` of the released rStar-Math code writes it: a causal language model and value_head.bin."""
    save_tiny_model(folder)
    torch.manual_seed(3)
    state = {"v_head.summary.weight": torch.randn(1, 64), "v_head.summary.bias": torch.tensor([0.7])}
    torch.save(state | head, folder / "value_head.bin")
    return folder


def test_the_released_layout_scores_as_the_released_code_does(tmp_path: Path) -> None:
    """Computed independently: the last hidden state of the language model at the last token, a linear layer, / 5,
    tanh."""
    ppm = load_ppm(str(save_released_layout(tmp_path / "released")), device="cpu", dtype="float32")
    assert ppm.step_format.name == "rstar"
    backbone = AutoModelForCausalLM.from_pretrained(tmp_path / "released").eval()
    state = torch.load(tmp_path / "released" / "value_head.bin", weights_only=True)
    encoded = [encode(ppm.tokenizer, ppm.step_format, each) for each in STATES]
    expected = []
    with torch.inference_mode():
        for each in encoded:
            hidden = backbone(torch.tensor([each.ids]), output_hidden_states=True).hidden_states[-1][0, -1]
            value = hidden @ state["v_head.summary.weight"][0] + state["v_head.summary.bias"][0]
            expected.append(torch.tanh(value / 5))
        ids, mask, _ = batch(ppm, encoded)
        ends = torch.tensor([[each.ends[-1]] for each in encoded])
        scores = ppm.scores(ids, mask, ends)[:, 0]
        torch.testing.assert_close(scores, torch.stack(expected), atol=1e-5, rtol=1e-5)
        ppm.save(tmp_path / "converted")
        converted = load_ppm(str(tmp_path / "converted"), device="cpu", dtype="float32")
        torch.testing.assert_close(converted.scores(ids, mask, ends)[:, 0], scores)


def break_nothing(folder: Path) -> None:
    save_tiny_model(folder)


def break_value_head(folder: Path) -> None:
    save_released_layout(folder, other=torch.zeros(1))


def break_width(folder: Path) -> None:
    save_released_layout(folder, **{"v_head.summary.weight": torch.zeros(1, 32)})


def break_weights(folder: Path) -> None:
    save_released_layout(folder)
    (folder / "value_head.bin").write_bytes(b"not a head")


def break_labels(folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(save_tiny_model(folder), num_labels=3)
    model.save_pretrained(folder)


def break_head(folder: Path) -> None:
    ppm = ppm_from_policy(str(save_tiny_model(folder)))
    weights = {key: tensor for key, tensor in ppm.model.state_dict().items() if key != "score.weight"}
    ppm.model.save_pretrained(folder, state_dict=weights)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (break_nothing, "it is a policy: its folder does not have value_head.bin"),
        (break_value_head, "value_head.bin contains other, summary.bias, summary.weight"),
        (break_width, "value head is for a width of 32, not 64"),
        (break_weights, "cannot be loaded"),
        (break_labels, "it is a LlamaForSequenceClassification with 3 labels"),
        (break_head, "its checkpoint lacks score.weight"),
    ],
)
def test_what_is_no_ppm_is_said_in_one_sentence(tmp_path: Path, damage: Callable[[Path], None], sentence: str) -> None:
    damage(tmp_path)
    with pytest.raises(TreestarError, match=sentence) as caught:
        load_ppm(str(tmp_path), device="cpu")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_head_cannot_run_code(tmp_path: Path) -> None:
    save_released_layout(tmp_path)
    torch.save({"v_head.summary.weight": Intruder(tmp_path / "touched")}, tmp_path / "value_head.bin")
    with pytest.raises(TreestarError, match="cannot be loaded"):
        load_ppm(str(tmp_path), device="cpu")
    assert not (tmp_path / "touched").exists()


class Intruder:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["./no-such-folder", "no-such-owner/no-such-model"])
@pytest.mark.parametrize("load", [load_ppm, ppm_from_policy])
def test_a_missing_model_is_one_sentence(load: Callable[[str], PPM], name: str) -> None:
    with pytest.raises(TreestarError, match=r"no such folder|cannot be loaded") as caught:
        load(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
