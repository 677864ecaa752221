"""A trainer for CPUs that multiply bfloat16: only the layers' matrices change, and the layers are compiled.

The weights are bfloat16 and the optimizer updates float32 copies of them. A compiled layer fuses what is not a matrix
product. In one measurement of full batches both together trained 1.5 times as many tokens a second (544) as float32
weights with autocast (364); LoRA in float32 on such weights trained 277.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from trl import SFTConfig

from treestar.training.run import TrainingProgress
from treestar.training.sft.data import TokenRow
from treestar.training.sft.trainer import PolicyTrainer

__all__ = ["MasterAdamW", "matrices_trainer"]

SHAPES = 64
"""At most this many lengths of rows are compiled."""


class MasterAdamW(torch.optim.Optimizer):
    """AdamW that updates float32 copies of bfloat16 weights, whose own precision would lose most updates.

    Args:
        params: weights in any dtype.
        lr: learning rate, above 0. The other settings are fixed: betas .9 and .98, no weight decay.
    """

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state in float32: torch's optimizers would convert it to the weights' dtype."""
        super().load_state_dict(state_dict)
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for index, state in state_dict["state"].items():
            self.state[weights[index]] = {name: value.clone() for name, value in state.items()}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every weight with a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight] = {
                        "master": weight.float().clone(),
                        "mean": torch.zeros_like(weight, dtype=torch.float32),
                        "square": torch.zeros_like(weight, dtype=torch.float32),
                        "step": torch.zeros(()),
                    }
            states = [self.state[weight] for weight in weights]
            torch._fused_adamw_(
                [state["master"] for state in states],
                [weight.grad.float() for weight in weights],
                [state["mean"] for state in states],
                [state["square"] for state in states],
                [],
                [state["step"].add_(1) for state in states],
                lr=group["lr"],
                beta1=0.9,
                beta2=0.98,
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )
            for weight, state in zip(weights, states, strict=True):
                weight.copy_(state["master"])


def matrices_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TokenRow],
    names: range,
    arguments: SFTConfig,
    lora: None,
    optimizer: None,
    on_progress: Callable[[TrainingProgress], None],
    adapter: Path | None = None,
) -> PolicyTrainer:
    """As `PolicyTrainer`, whose arguments it takes.

    Args:
        adapter: the folder of an adapter to train further; None trains the matrices themselves.
    """
    torch._dynamo.config.recompile_limit = SHAPES
    for layer in model.model.layers:
        layer.compile(dynamic=False)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True, autocast_adapter_dtype=False)
    trainer = PolicyTrainer(model, tokenizer, rows, names, arguments, lora, optimizer, on_progress)
    ending = "proj.weight" if adapter is None else ".default.weight"
    trained = [weight for name, weight in model.named_parameters() if name.endswith(ending)]
    trainer.optimizer = MasterAdamW(trained, arguments.learning_rate)
    return trainer
