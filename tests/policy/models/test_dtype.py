"""The arithmetic that is fast on a device."""

from __future__ import annotations

import pytest
import torch

from treestar.policy.models import dtype_for


@pytest.mark.parametrize(
    ("instructions", "dtype"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_where_it_can_multiply_it(
    instructions: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert dtype_for("cpu") == dtype


def test_an_accelerator_computes_in_the_dtype_of_the_checkpoint() -> None:
    assert dtype_for("cuda:0") == "auto"
