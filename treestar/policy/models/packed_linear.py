"""Linear layers for a CPU whose weights lie in the order in which oneDNN multiplies them.

`torch.nn.Linear` puts its weights into such an order at every call. For the few rows of a decoding step that takes
as long as multiplying.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["can_pack", "pack_linear_layers"]

EXPECTED_ROWS = 16
"""What oneDNN chooses the order for; with it, 1 to 512 rows are no slower than with one of their own."""


class PackedLinear(torch.nn.Module):
    """Computes what `linear` does, up to rounding. Not for training: it has no parameter for the weights."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), EXPECTED_ROWS)

    @property
    def weight(self) -> torch.Tensor:
        """A copy of the weights in their usual order, shape (out_features, in_features)."""
        dense: torch.Tensor = self.packed.to_dense()
        return dense

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """As torch calls it: a saved model has the weights that it was loaded with."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return outputs


def pack_linear_layers(model: Any) -> Any:
    """`model` with packed linear layers if oneDNN computes in its dtype on this CPU; else as it was.

    Only for inference. An output layer that shares the weights of the embeddings gets packed ones of its own.
    """
    if model.device.type != "cpu" or not can_pack(model.dtype):
        return model
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Linear and child.weight.dtype == model.dtype:
                setattr(module, name, PackedLinear(child))
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # a view of the file would keep all of it in memory
    return model


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies this dtype on this CPU."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
