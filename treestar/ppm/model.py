"""The process preference model: a policy's backbone with a scalar head, read at every step's end.

On disk it is an ordinary one-label sequence classification checkpoint. config.json has three more entries:
`treestar_format` (the step format whose text it reads), and `treestar_ppm_bias` and `treestar_ppm_scale`, with which
score = tanh((logit + bias) / scale).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.policy.formats import StepFormat, step_format_for
from treestar.policy.models import (
    Dtype,
    device_for,
    dtype_for,
    load_config,
    load_tokenizer,
    load_weights,
    loading,
    policy_path,
    ppm_path,
    without_warnings,
)
from treestar.ppm.encoding import check_step_ends
from treestar.types import TreestarError

if TYPE_CHECKING:
    import torch

__all__ = ["PPM", "VALUE_HEAD", "load_ppm", "ppm_from_policy"]

VALUE_HEAD = "value_head.bin"
"""The head's file in the layout of the released rStar-Math code."""

RELEASED_SCALE = 5.0
"""The divisor of the value head's output before tanh in the released rStar-Math code."""


@dataclass(frozen=True, slots=True)
class PPM:
    """A process preference model, its tokenizer, and the step format whose text it reads."""

    model: Any
    """A `PreTrainedModel` for sequence classification with one label; its head is the linear module `score`."""
    tokenizer: Any
    step_format: StepFormat

    @property
    def bias(self) -> float:
        return float(getattr(self.model.config, "treestar_ppm_bias", 0.0))

    @property
    def scale(self) -> float:
        return float(getattr(self.model.config, "treestar_ppm_scale", 1.0))

    def logits(
        self,
        ids: torch.Tensor,
        attention_mask: torch.Tensor | Mapping[str, torch.Tensor],
        ends: torch.Tensor,
        forward: Any = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The head's output at every step end, from one forward pass; differentiable, float32.

        Args:
            ids: tokens, shape (rows, columns), padded on the right.
            attention_mask: 1 for tokens and 0 for padding, same shape; or which columns each column sees, boolean,
                shape (rows, 1, columns, columns), or such masks by kind of layer, as the model takes them.
            ends: columns of the step ends (`Encoded.ends`), shape (rows, steps). Fill short rows with any column, and
                ignore the outputs there.
            forward: the model as training wraps it (DDP, FSDP, compiled); None: the model itself.
            position_ids: each token's position, same shape as `ids`; None: its column.

        Returns:
            Shape (rows, steps).
        """
        found: list[torch.Tensor] = []

        def read_step_ends(head: Any, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
            hidden = inputs[0]
            at_ends = hidden.gather(1, ends[..., None].expand(-1, -1, hidden.shape[-1]))
            # In float32 even above a bf16 backbone: with bf16's three digits, many siblings would score the same.
            found.append((at_ends.float() * head.weight[0].float()).sum(-1))

        # A hook, because the weights of a wrapped model are complete only inside its forward pass.
        hook = self.model.score.register_forward_hook(read_step_ends)
        try:
            (forward or self.model)(
                input_ids=ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
            )
        finally:
            hook.remove()
        return found[0] + self.bias

    def scores(
        self, ids: torch.Tensor, attention_mask: torch.Tensor, ends: torch.Tensor, forward: Any = None
    ) -> torch.Tensor:
        """Scores in [-1, 1] at every step end; see `logits` for arguments and shape."""
        return (self.logits(ids, attention_mask, ends, forward) / self.scale).tanh()

    def scores_of(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores in [-1, 1] from outputs of the backbone after its final norm, shape (..., width)."""
        logits = (hidden.float() * self.model.score.weight[0].float()).sum(-1)
        scores: torch.Tensor = ((logits + self.bias) / self.scale).tanh()
        return scores

    def save(self, path: str | Path) -> None:
        """Write the checkpoint into the folder `path`."""
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)


def ppm_from_policy(name: str, dtype: Dtype | None = None) -> PPM:
    """A new PPM: the backbone of a policy with a head of zeros, so that every score is 0. On the CPU.

    Args:
        name: a shipped or fetched policy, a model folder, a GGUF file, or a hub id; as for `load_policy`.
        dtype: of the weights; None: float32, in which training updates them.

    Raises:
        TreestarError: the policy cannot be loaded, or has no step ends.
    """
    import torch

    path = policy_path(name)
    with loading("policy", name):
        model, missing = load_classifier(path, dtype or torch.float32)
        tokenizer = load_padding_tokenizer(path)
    expect_weights(name, missing - {"score.weight"})
    torch.nn.init.zeros_(model.score.weight)
    return assemble(name, model, tokenizer, bias=0.0, scale=1.0)


def load_ppm(name: str, device: str | None = None, dtype: Dtype | None = None) -> PPM:
    """Load a PPM from its own layout or from that of the released rStar-Math code (`value_head.bin` next to a causal
    language model).

    Args:
        name: a shipped policy, a model folder, or a hub id.
        device: `cpu`, `cuda`, ...; None takes CUDA if available.
        dtype: the backbone's data type; None takes a fast one on the device. The head is always computed in float32.

    Raises:
        TreestarError: the model does not exist, cannot be read, or is not a PPM.
    """
    device, path = device_for(device), ppm_path(name)
    with loading("PPM", name):
        config = load_config(path)
        if not config.architectures:
            raise not_a_ppm(name, "its config.json names no architecture")
        architecture = config.architectures[0]
        is_released = architecture.endswith("ForCausalLM")
        if not is_released and not (architecture.endswith("ForSequenceClassification") and config.num_labels == 1):
            raise not_a_ppm(name, f"it is a {architecture} with {config.num_labels} labels")
        value_head = read_value_head(name, path) if is_released else None
        model, missing = load_classifier(path, dtype or dtype_for(device))
        tokenizer = load_padding_tokenizer(path)
        model = model.to(device)
    if value_head is None:
        expect_weights(name, missing)
        bias, scale = getattr(config, "treestar_ppm_bias", 0.0), getattr(config, "treestar_ppm_scale", 1.0)
    else:
        expect_weights(name, missing - {"score.weight"})
        weight, bias = value_head
        if weight.shape != model.score.weight.shape:
            raise not_a_ppm(name, f"its value head is for a width of {weight.shape[1]}, not {model.config.hidden_size}")
        model.score.weight.data.copy_(weight)
        scale = RELEASED_SCALE
    return assemble(name, model.eval(), tokenizer, bias, scale)


def assemble(name: str, model: Any, tokenizer: Any, bias: float, scale: float) -> PPM:
    """The PPM with these parts. Writes the settings that its checkpoint needs into the model's config."""
    step_format = step_format_for(model.config, tokenizer)
    check_step_ends(tokenizer, step_format, name)
    model.config.treestar_format = step_format.name
    model.config.treestar_ppm_bias = bias
    model.config.treestar_ppm_scale = scale
    # Without it, transformers' own forward pass rejects batches: it looks for a row's last token before the padding.
    model.config.pad_token_id = tokenizer.pad_token_id
    return PPM(model, tokenizer, step_format)


def load_classifier(path: str, dtype: Any) -> tuple[Any, set[str]]:
    """The model with its one-label head, and the names of weights that the checkpoint lacks."""
    from transformers import AutoModelForSequenceClassification

    with without_warnings():
        return load_weights(AutoModelForSequenceClassification, path, num_labels=1, dtype=dtype)


def load_padding_tokenizer(path: str) -> Any:
    """The tokenizer, set to pad on the right, so that step ends keep their columns."""
    tokenizer = load_tokenizer(path)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def read_value_head(name: str, path: str) -> tuple[torch.Tensor, float]:
    """The weight, shape (1, width), and the bias of the released layout's value head.

    Raises:
        TreestarError: the model's folder does not have the file, or the file contains something else.
    """
    import torch
    from transformers.utils import cached_file

    try:
        file = cached_file(path, VALUE_HEAD)
    except OSError as error:
        raise not_a_ppm(name, f"it is a policy: its folder does not have {VALUE_HEAD}") from error
    state = torch.load(file, map_location="cpu", weights_only=True)
    state = {key.removeprefix("v_head."): tensor for key, tensor in state.items()}
    if set(state) != {"summary.weight", "summary.bias"} or state["summary.weight"].shape[0] != 1:
        raise not_a_ppm(name, f"its {VALUE_HEAD} contains {', '.join(sorted(state)) or 'nothing'}, not a value head")
    return state["summary.weight"], float(state["summary.bias"])


def expect_weights(name: str, missing: set[str]) -> None:
    if missing:
        raise not_a_ppm(name, f"its checkpoint lacks {', '.join(sorted(missing)[:3])}")


def not_a_ppm(name: str, reason: str) -> TreestarError:
    return TreestarError(
        f"{name!r} is not a process preference model: {reason}. Give a folder written by `treestar train ppm`, or a "
        "hub id"
    )
