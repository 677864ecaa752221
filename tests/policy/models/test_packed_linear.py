"""Packed linear layers: the same products as torch's own, in every shape that a model asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.support.tiny_model import saved_tiny_model
from treestar.policy import load_policy
from treestar.policy.models import load_causal_model
from treestar.policy.models.packed_linear import PackedLinear, can_pack, pack_linear_layers
from treestar.ppm.load import load_scorer
from treestar.ppm.model import ppm_from_policy

SIZES = st.integers(1, 70)
DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if can_pack(dtype)]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.02}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_tiny_model(tmp_path_factory.mktemp("model"))


def packed_layers(model: Any) -> list[PackedLinear]:
    return [module for module in model.modules() if isinstance(module, PackedLinear)]


@given(
    dtype=st.sampled_from(DTYPES),
    rows=st.integers(0, 40),
    columns=SIZES,
    inputs=SIZES,
    outputs=SIZES,
    bias=st.booleans(),
    strided=st.booleans(),
)
def test_a_packed_layer_computes_what_the_layer_did(
    dtype: torch.dtype, rows: int, columns: int, inputs: int, outputs: int, bias: bool, strided: bool
) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(inputs, outputs, bias=bias, dtype=dtype)
    shape = (rows, 2 * columns, inputs) if strided else (rows, columns, inputs)
    given_rows = torch.randn(shape, dtype=dtype)[:, :: 2 if strided else 1]
    with torch.inference_mode():
        expected, found = layer(given_rows), PackedLinear(layer)(given_rows)
    assert found.shape == expected.shape
    assert found.dtype == dtype
    # One may round the products and then their sum with the bias, the other only the sum.
    assert torch.allclose(found, expected, atol=TOLERANCES[dtype], rtol=2 * torch.finfo(dtype).eps)


def test_a_packed_model_has_the_logits_and_the_weights_that_it_had(folder: Path, tmp_path: Path) -> None:
    plain, packed = load_causal_model(str(folder)).eval(), pack_linear_layers(load_causal_model(str(folder)).eval())
    assert packed_layers(packed)
    assert not any(type(module) is torch.nn.Linear for module in packed.modules())
    ids = torch.arange(3, 33).reshape(2, 15)
    with torch.inference_mode():
        assert torch.allclose(plain(ids).logits, packed(ids).logits, atol=1e-5)
    packed.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in plain.state_dict().items())


def test_a_packed_model_does_not_keep_its_file_in_memory(tmp_path: Path) -> None:
    def is_mapped() -> bool:
        return str(tmp_path) in Path("/proc/self/maps").read_text()

    model = load_causal_model(str(saved_tiny_model(tmp_path)))
    assert is_mapped()
    model = pack_linear_layers(model)
    assert not is_mapped()
    assert packed_layers(model)


def test_policies_and_scorers_are_packed_in_the_dtypes_that_onednn_multiplies(folder: Path, tmp_path: Path) -> None:
    assert torch.float32 in DTYPES
    assert torch.float16 not in DTYPES
    ppm_from_policy(str(folder)).save(tmp_path)
    for dtype in ("float32", "bfloat16", "float16"):
        policy: Any = load_policy(str(folder), "rstar", device="cpu", dtype=dtype)  # type: ignore[arg-type]
        scorer: Any = load_scorer(str(tmp_path), device="cpu", dtype=dtype)  # type: ignore[arg-type]
        expected = getattr(torch, dtype) in DTYPES
        assert bool(packed_layers(policy.model)) == bool(packed_layers(scorer.ppm.model)) == expected
