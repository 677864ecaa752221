"""What the files of a model say: its configuration, the names of its weights, its tokenizer.

No code from a checkpoint is run. Heads that transformers does not know are read from the weights by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.policy.models import load_tokenizer
from treestar.types import TreestarError

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "read_checkpoint"]

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLE_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Checkpoint:
    """A model's files, in a folder or on the hub."""

    name: str
    """As the user named it, for messages."""
    path: str
    """A folder or a hub id."""
    config: Mapping[str, Any]
    """The content of config.json."""

    @property
    def architecture(self) -> str:
        """The class that wrote the checkpoint, such as `Qwen2ForCausalLM`; "" if config.json does not say."""
        return str((self.config.get("architectures") or [""])[0])

    @property
    def labels(self) -> int:
        """The number of labels of a classifier."""
        return int(self.config.get("num_labels") or len(self.config.get("id2label") or ()) or 2)

    @property
    def short_name(self) -> str:
        """The hub id, or the last two parts of a folder's path, in lower case: for models whose files look like any
        other's."""
        return "/".join(Path(self.path).parts[-2:]).lower()

    def is_causal_named(self, pattern: str) -> bool:
        """Whether it is a causal language model whose short name has a match of this regular expression."""
        return self.architecture.endswith("ForCausalLM") and re.search(pattern, self.short_name) is not None

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.path)

    @cached_property
    def file_of(self) -> Mapping[str, str]:
        """The file that has each weight; empty if the model has no weights in a known layout."""
        for name in INDEXES:
            index = self.find(name)
            if index is not None:
                found: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
                return found
        for name in WHOLE_FILES:
            file = self.find(name)
            if file is not None:
                return dict.fromkeys(names_in(file), name)
        return {}

    def find(self, name: str) -> Path | None:
        """The local path of one of the model's files, or None if it has no such file."""
        from transformers.utils import cached_file

        # Only entries that are known to be missing give None: without a network, the error names the model.
        found = cached_file(self.path, name, _raise_exceptions_for_missing_entries=False)
        return None if found is None else Path(found)

    def has(self, *weights: str) -> bool:
        """Whether the checkpoint has all of these weights."""
        return all(weight in self.file_of for weight in weights)

    def tensor(self, weight: str) -> torch.Tensor:
        """A weight, on the CPU, as it is stored.

        Raises:
            TreestarError: the checkpoint does not have it.
        """
        if weight not in self.file_of:
            raise TreestarError(f"scorer {self.name!r}: its checkpoint has no weight {weight!r}")
        file = self.find(self.file_of[weight])
        if file is None:
            raise TreestarError(f"scorer {self.name!r}: the file {self.file_of[weight]!r} of its checkpoint is missing")
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(file, framework="pt") as opened:
                tensor: torch.Tensor = opened.get_tensor(weight)
                return tensor
        import torch

        loaded: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return loaded[weight]

    def tensors(self, *weights: str) -> Sequence[torch.Tensor]:
        """Several weights; see `tensor`."""
        return [self.tensor(weight) for weight in weights]


def names_in(file: Path) -> list[str]:
    """The names of the weights in one file."""
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, framework="numpy") as opened:
            return list(opened.keys())
    import torch

    return list(torch.load(file, map_location="cpu", weights_only=True, mmap=True))


def read_checkpoint(name: str, path: str) -> Checkpoint:
    """The files of the model `name` at `path`. Raises whatever transformers raises if there is no config.json."""
    from transformers import PretrainedConfig

    config, _ = PretrainedConfig.get_config_dict(path)
    return Checkpoint(name, path, config)
