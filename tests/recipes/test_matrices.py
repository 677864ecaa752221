"""The optimizer that updates bfloat16 matrices, or an adapter in them, in float32."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

import torch

from recipes.word_problems.matrices import MatrixAdamW, new_factors

SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.98), "weight_decay": 0.0}


def test_it_is_adamw_in_float32() -> None:
    torch.manual_seed(0)
    start = torch.randn(8, 4)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    mine = MatrixAdamW([ours], lr=1e-2)
    known = torch.optim.AdamW([theirs], **SETTINGS)
    for _ in range(5):
        gradient = torch.randn(8, 4)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        known.step()
    torch.testing.assert_close(ours, theirs)


def test_with_factors_it_is_adamw_of_an_adapter() -> None:
    torch.manual_seed(0)
    base, inputs, wanted = torch.randn(8, 4), torch.randn(5, 4), torch.randn(5, 8)
    up, down = torch.randn(8, 2), torch.randn(2, 4)
    matrix = torch.nn.Parameter(base.clone())
    mine = MatrixAdamW([matrix], lr=1e-2, factors=[(up.clone(), down.clone())])
    known_up, known_down = torch.nn.Parameter(up.clone()), torch.nn.Parameter(down.clone())
    known = torch.optim.AdamW([known_up, known_down], **SETTINGS)
    torch.testing.assert_close(matrix, base + up @ down)
    for _ in range(5):
        matrix.grad = known_up.grad = known_down.grad = None
        (inputs @ matrix.T - wanted).square().sum().backward()
        (inputs @ (base + known_up @ known_down).T - wanted).square().sum().backward()
        mine.step()
        known.step()
    torch.testing.assert_close(matrix, base + known_up @ known_down)


def test_a_new_adapter_changes_nothing_before_and_only_by_its_rank_after_a_step() -> None:
    torch.manual_seed(0)
    start = torch.randn(8, 6)
    matrix = torch.nn.Parameter(start.clone())
    optimizer = MatrixAdamW([matrix], lr=1e-2, factors=new_factors([matrix], rank=2))
    assert torch.equal(matrix, start)
    for _ in range(3):
        matrix.grad = torch.randn(8, 6)
        optimizer.step()
    assert torch.linalg.matrix_rank(matrix.detach() - start, rtol=1e-4) == 2


def test_updates_smaller_than_a_bfloat16_step_add_up() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 1, dtype=torch.bfloat16))
    optimizer = MatrixAdamW([weight], lr=1e-4)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert weight.flatten().tolist() == pytest.approx([0.98] * 4, abs=0.005)


@pytest.mark.parametrize("rank", [None, 2])
def test_a_loaded_state_continues_the_same_way(rank: int | None) -> None:
    torch.manual_seed(0)
    matrix, other = (torch.nn.Parameter(torch.ones(4, 3, dtype=torch.bfloat16)) for _ in range(2))

    def optimizer_of(weight: torch.nn.Parameter) -> MatrixAdamW:
        factors = None if rank is None else [(torch.ones(4, rank), torch.ones(rank, 3))]
        return MatrixAdamW([weight], lr=1e-1, factors=factors)

    one = optimizer_of(matrix)
    gradients = torch.randn(4, 4, 3).bfloat16()
    for gradient in gradients[:3]:
        matrix.grad = gradient
        one.step()
    two = optimizer_of(other)
    two.load_state_dict(one.state_dict())
    for parameter, optimizer in ((matrix, one), (other, two)):
        parameter.grad = gradients[3]
        optimizer.step()
    assert torch.equal(matrix, other)
