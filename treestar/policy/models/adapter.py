"""LoRA adapters: folders of peft that hold only what was trained, and name the model that it belongs to.

An adapter is accepted wherever a model is. Its base is any name that a policy can have; the two are merged at load, so
nothing else knows the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from treestar.policy.models.fetchable import FETCHABLE, fetched_folder
from treestar.policy.models.loading import ADAPTER_CONFIG, adapter_settings, policy_path, shipped_path
from treestar.types import TreestarError

__all__ = ["base_of", "base_to_fetch", "fetchable_base", "is_adapter", "merged", "merged_by_peft"]


def is_adapter(path: str) -> bool:
    """Whether `path` is the folder of an adapter."""
    return (Path(path) / ADAPTER_CONFIG).is_file()


def base_of(path: str) -> str:
    """The folder, GGUF file or hub id of the model that the adapter at `path` belongs to.

    Raises:
        TreestarError: the adapter does not name it, or it is not on this machine.
    """
    name = base_name(path)
    if not name:
        raise TreestarError(
            f"the adapter {path!r} does not name its base: give base_model_name_or_path in {ADAPTER_CONFIG}"
        )
    return policy_path(name)


def base_name(path: str) -> str | None:
    found: str | None = adapter_settings(path).get("base_model_name_or_path")
    return found


def fetchable_base(policy: str) -> str | None:
    """The name of the fetchable model that `policy` is or adapts, maybe through other adapters; None without one."""
    name: str | None = policy
    passed: set[str] = set()
    while name is not None and name not in passed and is_adapter(folder := str(shipped_path("policy", name) or name)):
        passed.add(name)
        name = base_name(folder)
    return name if name in FETCHABLE else None


def base_to_fetch(policy: str) -> str | None:
    """The name of the model that has to be fetched before `policy` can be loaded; None if nothing is missing."""
    base = fetchable_base(policy)
    return None if base is None or fetched_folder(base).is_dir() else base


def merged(model: Any, path: str) -> Any:
    """`model`, the base, with the adapter at `path` added to its weights. A policy's adapter also fits a model with
    another head, which becomes a PPM."""
    from treestar.policy.models.low_rank import add_products, is_plain

    if not is_plain(model, path):
        return merged_by_peft(model, path)
    add_products(model, path)
    return model


def merged_by_peft(model: Any, path: str) -> Any:
    """As `merged`, for every kind of adapter that peft knows."""
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(path)
    if config.task_type == "CAUSAL_LM":
        config.task_type = None  # peft would ask the model for what generating needs
    adapted = PeftModel.from_pretrained(model, path, config=config)
    untie(model)
    return adapted.merge_and_unload()


def untie(model: Any) -> None:
    """Give the output layer weights of its own if it shares those of the embeddings and an adapter changes one of the
    two: merged into shared weights, it would change both. peft then notes it in the model's config."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch.nn import Parameter

    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    if None in layers or not any(isinstance(layer, BaseTunerLayer) for layer in layers):
        return
    embeddings, output = (layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer for layer in layers)
    if output.weight is embeddings.weight:
        output.weight = Parameter(output.weight.detach().clone())
