"""Heads: from hidden states to raw values. Always computed in float32 or better, whatever the backbone's type: in half
precision a softmax is exactly 0 from a difference of 18, and close scores would be equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.reading import Head

if TYPE_CHECKING:
    import torch

__all__ = ["classifier", "linear_head", "log_probability", "token_pair"]

OUTPUT_WEIGHT, OUTPUT_BIAS = "lm_head.weight", "lm_head.bias"

POSITIONS_AT_ONCE = 512
"""Positions whose logits over the whole vocabulary are computed together; bounds the memory."""


def classifier(
    layers: Sequence[tuple[torch.Tensor, torch.Tensor | None]], backbone: Any, classes: Sequence[int]
) -> Head:
    """A stack of linear layers with ReLU between them.

    The raw value is the probability of `classes` among the outputs; for an empty `classes` it is the only output.

    Args:
        layers: weight, shape (outputs, inputs), and bias of each.
    """
    device = backbone.device
    moved = [(weight.to(device).float(), None if bias is None else bias.to(device).float()) for weight, bias in layers]

    def head(hidden: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import linear

        for index, (weight, bias) in enumerate(moved):
            hidden = linear(hidden if index == 0 else hidden.relu(), weight, bias)
        outputs = hidden.double()
        return outputs.softmax(-1)[:, list(classes)].sum(-1) if classes else outputs[:, 0]

    return head


def linear_head(checkpoint: Checkpoint, name: str, backbone: Any, classes: Sequence[int]) -> Head:
    """The classifier of one layer, which the checkpoint has under this name, with or without a bias."""
    bias = checkpoint.tensor(f"{name}.bias") if checkpoint.has(f"{name}.bias") else None
    return classifier([(checkpoint.tensor(f"{name}.weight"), bias)], backbone, classes)


def token_pair(checkpoint: Checkpoint, backbone: Any, right: int, wrong: int) -> Head:
    """The probability of the token `right` as the next one, against `wrong`."""
    weight, bias = output_layer(checkpoint, backbone)
    rows = weight[[right, wrong]].to(backbone.device).float()
    biases = None if bias is None else bias[[right, wrong]].to(backbone.device).float()

    def head(hidden: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import linear

        logits = finished(linear(hidden, rows, biases), backbone.config).double()
        return (logits[:, 0] - logits[:, 1]).sigmoid()

    return head


def log_probability(checkpoint: Checkpoint, backbone: Any) -> Head:
    """The natural log of the probability of the token that follows."""
    weight, bias = output_layer(checkpoint, backbone)
    weight = weight.to(backbone.device, backbone.dtype)
    bias = None if bias is None else bias.to(backbone.device, backbone.dtype)

    def head(hidden: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn.functional import linear

        found = [torch.empty(0, dtype=torch.float64, device=hidden.device)]
        for start in range(0, len(hidden), POSITIONS_AT_ONCE):
            part, tokens = (each[start : start + POSITIONS_AT_ONCE] for each in (hidden, following))
            logits = finished(linear(part.to(weight.dtype), weight, bias).float(), backbone.config)
            found.append(logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0].double())
        return torch.cat(found)

    return head


def output_layer(checkpoint: Checkpoint, backbone: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The weight, shape (vocabulary, width), and the bias that give a causal model's logits."""
    stored = checkpoint.has(OUTPUT_WEIGHT)
    weight = checkpoint.tensor(OUTPUT_WEIGHT) if stored else backbone.get_input_embeddings().weight.detach()
    return weight, checkpoint.tensor(OUTPUT_BIAS) if checkpoint.has(OUTPUT_BIAS) else None


def finished(logits: torch.Tensor, config: Any) -> torch.Tensor:
    """What some families do to the logits at the end: Gemma caps them, Cohere and Granite scale them."""
    logits = logits * (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else (logits / cap).tanh() * cap
