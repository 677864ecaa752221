"""The optimizer that keeps float32 copies of bfloat16 weights."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

import torch

from recipes.word_problems.matrices import MasterAdamW


def test_it_is_adamw_in_float32() -> None:
    torch.manual_seed(0)
    start = torch.randn(8, 4)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    mine = MasterAdamW([ours], lr=1e-2)
    known = torch.optim.AdamW([theirs], lr=1e-2, betas=(0.9, 0.98), weight_decay=0.0)
    for _ in range(5):
        gradient = torch.randn(8, 4)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        known.step()
    torch.testing.assert_close(ours, theirs)


def test_updates_smaller_than_a_bfloat16_step_add_up() -> None:
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight], lr=1e-4)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert weight.float().tolist() == pytest.approx([0.98] * 4, abs=0.005)


def test_a_loaded_state_continues_the_same_way() -> None:
    weight, other = (torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16)) for _ in range(2))
    one = MasterAdamW([weight], lr=1e-3)
    for step in range(3):
        weight.grad = torch.full_like(weight, step + 1.0)
        one.step()
    two = MasterAdamW([other], lr=1e-3)
    two.load_state_dict(one.state_dict())
    for parameter, optimizer in ((weight, one), (other, two)):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert torch.equal(one.state[weight]["master"], two.state[other]["master"])
