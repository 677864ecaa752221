"""Adding a plain LoRA adapter to the weights of its base.

peft first gives each layer of the base two layers of its own and fills them with random numbers. For a small model on a
CPU, that takes as long as the sums. The results are equal to the last bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from treestar.policy.models.loading import ADAPTER_WEIGHTS, adapter_settings

__all__ = ["add_products", "is_plain"]

PREFIX, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
"""How peft names weights: those of the base's layer `q_proj` are `base_model.model. ... .q_proj.lora_A.weight`."""

PLAIN_SETTINGS = {
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
    "task_type",
}
"""Settings that every adapter may have. Any other one, if it is set, makes the adapter a variation of LoRA."""

HEAD = "score.weight"
"""The value head of a PPM: the only weight of which a plain adapter may hold all, not a change."""


def is_plain(model: Any, path: str) -> bool:
    """Whether the adapter at `path` changes linear layers of `model` by products of two matrices and nothing else."""
    settings = adapter_settings(path)
    given = {name for name, value in settings.items() if value not in (None, False, "none", [], {})}
    is_lora = settings.get("peft_type") == "LORA" and isinstance(settings.get("init_lora_weights", True), bool)
    if not is_lora or not given <= PLAIN_SETTINGS or not (Path(path) / ADAPTER_WEIGHTS).is_file():
        return False
    output = model.get_output_embeddings()  # it may share its weights
    layers = [name for name, layer in model.named_modules() if type(layer) is torch.nn.Linear and layer is not output]
    changeable = {PREFIX + layer + end for layer in layers for end in (DOWN, UP)} | {PREFIX + HEAD}
    with safe_open(Path(path) / ADAPTER_WEIGHTS, framework="pt") as file:
        return changeable >= set(file.keys())


@torch.no_grad()
def add_products(model: Any, path: str) -> None:
    """Add a plain adapter to the weights of `model`: W + B A lora_alpha / r, computed in float32."""
    settings = adapter_settings(path)
    scale = settings["lora_alpha"] / settings["r"]
    products: dict[Any, torch.Tensor] = {}  # by shape: to get fresh memory takes longer than to multiply
    with safe_open(Path(path) / ADAPTER_WEIGHTS, framework="pt") as file:
        for name in sorted(file.keys()):
            if name == PREFIX + HEAD:
                model.get_parameter(HEAD).copy_(file.get_tensor(name))
            elif name.endswith(DOWN):
                layer = name.removeprefix(PREFIX).removesuffix(DOWN)
                down, up = file.get_tensor(name).float(), file.get_tensor(PREFIX + layer + UP).float()
                weight = model.get_submodule(layer).weight
                product = products.setdefault(weight.shape, torch.empty(weight.shape))
                weight.add_(torch.matmul(up, down, out=product).mul_(scale))
