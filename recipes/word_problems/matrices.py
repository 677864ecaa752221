"""A trainer for CPUs that multiply bfloat16: only the layers' matrices change, and the layers are compiled.

The weights are bfloat16 and the optimizer updates float32 copies of them, or the factors of an adapter that they
contain. A compiled layer fuses what is not a matrix product. In one measurement of full batches both together trained
1.5 times as many tokens a second (544) as float32 weights with autocast (364); LoRA in float32 on such weights trained
277.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from trl import SFTConfig

from treestar.storage.files import read_json
from treestar.training.run import TrainingProgress
from treestar.training.sft.data import TokenRow
from treestar.training.sft.trainer import PolicyTrainer

__all__ = ["Factors", "MatrixAdamW", "matrices_trainer", "new_factors", "read_factors"]

SHAPES = 64
"""At most this many lengths of rows are compiled."""

Factors = tuple[torch.Tensor, torch.Tensor]
"""A change of a matrix as a product of shapes (outputs, rank) and (rank, inputs)."""


class MatrixAdamW(torch.optim.Optimizer):
    """AdamW in float32 for bfloat16 matrices, whose own precision would lose most updates.

    With factors, it trains an adapter whose product each matrix contains: as LoRA, at the cost of a model without one.
    The gradients of the factors follow from the matrix's. The state's `trained 0` and `trained 1` are the factors;
    without factors, `trained 0` is the matrix.

    Args:
        matrices: in any dtype; with factors, their product is added to them here.
        lr: learning rate, above 0. The other settings are fixed: betas .9 and .98, no weight decay.
        factors: for each matrix, in float32; None to train the matrices themselves.
    """

    def __init__(self, matrices: Iterable[Any], lr: float, factors: Sequence[Factors] | None = None) -> None:
        super().__init__(matrices, {"lr": lr})
        for index, matrix in enumerate(self.param_groups[0]["params"]):
            trained = [matrix.detach().float().clone()] if factors is None else list(factors[index])
            state = {f"trained {place}": each for place, each in enumerate(trained)}
            state |= {f"mean {place}": torch.zeros_like(each) for place, each in enumerate(trained)}
            state |= {f"square {place}": torch.zeros_like(each) for place, each in enumerate(trained)}
            if factors is not None:
                state["base"] = matrix.detach().clone()
            self.state[matrix] = {**state, "step": torch.zeros(())}
            self.write(matrix)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state in float32: torch's optimizers would convert it to the matrices' dtype."""
        super().load_state_dict(state_dict)
        matrices = self.param_groups[0]["params"]
        for index, state in state_dict["state"].items():
            self.state[matrices[index]] = {name: value.clone() for name, value in state.items()}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix with a gradient."""
        group = self.param_groups[0]
        for matrix in group["params"]:
            if matrix.grad is None:
                continue
            state = self.state[matrix]
            gradients = [matrix.grad.float()]
            if "base" in state:
                gradients = [gradients[0] @ state["trained 1"].T, state["trained 0"].T @ gradients[0]]
            state["step"] += 1
            places = range(len(gradients))
            torch._fused_adamw_(
                [state[f"trained {place}"] for place in places],
                gradients,
                [state[f"mean {place}"] for place in places],
                [state[f"square {place}"] for place in places],
                [],
                [state["step"] for _ in places],
                lr=group["lr"],
                beta1=0.9,
                beta2=0.98,
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )
            self.write(matrix)

    @torch.no_grad()
    def write(self, matrix: Any) -> None:
        """Give the model the matrix in its own dtype."""
        state = self.state[matrix]
        if "base" in state:
            matrix.copy_(state["base"].float() + state["trained 0"] @ state["trained 1"])
        else:
            matrix.copy_(state["trained 0"])


def read_factors(adapter: Path, names: Sequence[str]) -> list[Factors]:
    """The factors of the adapter in that folder, as peft writes it, for the matrices of these names."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    settings = read_json(adapter / "adapter_config.json")

    def factor(name: str, letter: str) -> torch.Tensor:
        return tensors[f"base_model.model.{name.removesuffix('.weight')}.lora_{letter}.weight"].float()

    scale = settings["lora_alpha"] / settings["r"]
    return [(scale * factor(name, "B"), factor(name, "A")) for name in names]


def new_factors(matrices: Iterable[torch.Tensor], rank: int) -> list[Factors]:
    """Factors of an adapter that changes nothing yet: the first is zero, the second random with variance 1 / inputs."""
    return [
        (torch.zeros(len(matrix), rank), torch.randn(rank, matrix.shape[1]) / matrix.shape[1] ** 0.5)
        for matrix in matrices
    ]


def matrices_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TokenRow],
    names: range,
    arguments: SFTConfig,
    lora: None,
    optimizer: None,
    on_progress: Callable[[TrainingProgress], None],
    adapter: Path | int | None = None,
) -> PolicyTrainer:
    """As `PolicyTrainer`, whose arguments it takes.

    Args:
        adapter: the folder of an adapter to train further, whose base `model` is, or the rank of a new one; None trains
            the matrices themselves.
    """
    torch._dynamo.config.recompile_limit = SHAPES
    for layer in model.model.layers:
        layer.compile(dynamic=False)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith("proj.weight"))
    trainer = PolicyTrainer(model, tokenizer, rows, names, arguments, lora, optimizer, on_progress)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    factors = None
    if isinstance(adapter, int):
        factors = new_factors(trained.values(), adapter)
    elif adapter is not None:
        factors = read_factors(adapter, list(trained))
    trainer.optimizer = MatrixAdamW(trained.values(), arguments.learning_rate, factors)
    return trainer
