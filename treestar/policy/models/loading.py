"""From a model's name to its files, and one sentence where that fails.

A name is a shipped model (a folder beside this file), one that `treestar models fetch` has fetched, a folder (also of
a LoRA adapter), a GGUF file, or an id on the Hugging Face hub. The shipped folders are ordinary Hugging Face
checkpoints; the README.md of each is its model card.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from treestar.policy.models.fetchable import FETCHABLE, fetched_folder
from treestar.policy.models.gguf_file import gguf_in_folder, is_gguf
from treestar.types import TreestarError, first_line

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_WEIGHTS",
    "DEFAULT_POLICY",
    "OFFLINE_POLICY",
    "SCORERS_OF_POLICIES",
    "SHIPPED",
    "SHIPPED_NAMES",
    "Dtype",
    "ModelKind",
    "adapter_settings",
    "device_for",
    "dtype_for",
    "loading",
    "model_config",
    "policy_path",
    "ppm_path",
    "problems_path",
    "shipped_path",
    "without_warnings",
]

ADAPTER_CONFIG = "adapter_config.json"
"""The file that makes a folder a LoRA adapter (see `adapter.py`)."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"

Dtype = Literal["float32", "bfloat16", "float16"]

ModelKind = Literal["policy", "PPM"]

HERE = Path(__file__).parent

SHIPPED: dict[tuple[ModelKind, str], Path] = {
    ("policy", "embedded"): HERE / "embedded",
    ("policy", "embedded-taught"): HERE / "embedded-taught",
    ("policy", "embedded-base"): HERE / "embedded-base",
    ("policy", "toy"): HERE / "toy",
    ("policy", "toy-bootstrap"): HERE / "toy-bootstrap",
    ("PPM", "embedded"): HERE / "embedded-ppm",
    ("PPM", "toy"): HERE / "toy-ppm",
}
"""The folders of the shipped models by kind and name. `embedded` solves word problems (docs/word_problems.md); it is a
small adapter of `embedded-taught`, that one of `embedded-base`, and this one of a fetched model. `toy` is what
self-evolution made (docs/toy.md) of `toy-bootstrap`, the policy that was trained on written solutions."""

FORMER_NAMES = {"embedded-bootstrap": "toy-bootstrap"}
"""Of shipped models, for jobs and results of version 0.2 and before."""

SHIPPED_NAMES: dict[ModelKind, str] = {
    kind: ", ".join(f"`{name}`" for of_kind, name in SHIPPED if of_kind == kind) for kind in get_args(ModelKind)
}
"""The names of the shipped models of each kind, for messages and help texts."""

SCORERS_OF_POLICIES = {"embedded": "embedded"}
"""The shipped PPM that guides the searches of a policy where no scorer is named."""

DEFAULT_POLICY = os.environ.get("TREESTAR_POLICY", "embedded")
"""The policy where none is named."""

OFFLINE_POLICY = "toy"
"""The policy of which nothing has to be fetched."""

CLOSE = 0.66
"""How similar a misspelled name is at least (`difflib`): "tyo" is to "toy", and no old causal model on the hub."""

WANTED: dict[ModelKind, str] = {
    "policy": f"{SHIPPED_NAMES['policy']}, another name that `treestar models` lists, a model folder or GGUF file, "
    "a hub id such as Qwen/Qwen2.5-Math-7B-Instruct, vllm: in front of one of these, or openai:MODEL@URL",
    "PPM": f"{SHIPPED_NAMES['PPM']}, a folder that `treestar train ppm` wrote, a hub id, vllm: in front of one of "
    "these, or openai:MODEL@URL",
}
"""What can be given instead of a name that cannot be loaded."""


def policy_path(name: str) -> str:
    """The folder, GGUF file or hub id of the policy `name`.

    Raises:
        TreestarError: it is a folder or file without a model, or a model that has to be fetched first.
    """
    return model_path("policy", name)


def ppm_path(name: str) -> str:
    """The folder or hub id of the process preference model `name`.

    Raises:
        TreestarError: as for `policy_path`, or it is a GGUF file.
    """
    path = model_path("PPM", name)
    if is_gguf(path):
        raise TreestarError(
            f"PPM {name!r} is not a process preference model: it is a GGUF file, which holds no value head. Train one "
            f"that begins with it (`treestar train ppm --policy {name}`), and give the folder that this writes"
        )
    return path


def problems_path(policy: str) -> Path:
    """Problems to try the policy `policy` with, one JSON object per line: id, question, answer. The toys know a few
    procedural families; everybody else gets everyday questions."""
    return HERE / ("toy" if policy.startswith("toy") else "embedded") / "problems.jsonl"


def shipped_path(kind: ModelKind, name: str) -> Path | None:
    """The folder of the shipped model of that kind and name, or None if there is no such model."""
    return SHIPPED.get((kind, FORMER_NAMES.get(name, name)))


def model_path(kind: ModelKind, name: str) -> str:
    shipped = shipped_path(kind, name)
    if shipped is not None:
        return str(shipped)
    if name in FETCHABLE:
        if not fetched_folder(name).is_dir():
            raise TreestarError(f"{kind} {name!r} is not on this machine: run `treestar models fetch {name}`")
        return str(fetched_folder(name))
    path = Path(name).expanduser()
    if is_gguf(name) and not path.is_dir():
        if not path.is_file():
            raise TreestarError(f"{kind} {name!r}: there is no such file")
        return str(path)
    if not name:
        raise TreestarError(f"the name of the {kind} is empty: give {WANTED[kind]}")
    if not path.is_dir():
        if path.exists():
            raise TreestarError(f"{kind} {name!r} is not a model: it is a file, but not a GGUF file")
        if name.startswith((".", "/", "~")):
            raise TreestarError(f"{kind} {name!r}: there is no such folder")
        if ":" in name:
            raise TreestarError(f"{kind} {name!r}: {name.partition(':')[0]}: is not a backend; give {WANTED[kind]}")
        if name.count("/") > 1:
            raise TreestarError(f"{kind} {name!r}: there is no such folder, and an id on the hub has one slash")
        if meant := similar_name(kind, name):
            raise TreestarError(f"there is no {kind} {name!r}: did you mean {meant!r}? If not, give {WANTED[kind]}")
        return name
    file = gguf_in_folder(path)
    if file is None and not any((path / known).is_file() for known in ("config.json", ADAPTER_CONFIG)):
        raise TreestarError(
            f"{kind} {name!r}: that folder has no config.json, no {ADAPTER_CONFIG} and no GGUF file, so it is not a "
            "model"
        )
    return str(file or path)


def similar_name(kind: ModelKind, name: str) -> str | None:
    """The shipped or fetchable model that `name` probably misspells. An id on the hub has an owner and a slash, except
    for a few old ones such as gpt2."""
    if "/" in name:
        return None
    known = [each for of_kind, each in SHIPPED if of_kind == kind] + [*FETCHABLE]
    return next(iter(get_close_matches(name.lower(), known, n=1, cutoff=CLOSE)), None)


def model_config(folder: Path) -> dict[str, Any]:
    """The config.json in a folder; empty if there is no such file, as for a hub id."""
    file = folder / "config.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def adapter_settings(path: str) -> dict[str, Any]:
    """peft's settings of the adapter at `path`."""
    found: dict[str, Any] = json.loads((Path(path) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return found


def device_for(wanted: str | None) -> str:
    """`wanted`, else CUDA where available, else the CPU."""
    # BLAS threads spin while they wait and starve everything else on a small machine; set before torch starts them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import torch

    return wanted or ("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def loading(kind: ModelKind, name: str) -> Iterator[None]:
    """Turn whatever loading a model raises into one sentence.

    Raises:
        TreestarError: instead of what was raised inside.
    """
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    if shipped_path(kind, name) is not None or name in FETCHABLE:
        logging.disable_progress_bar()  # it is loaded before anyone could read a bar
    try:
        yield
    except TreestarError:
        raise
    except Exception as error:  # transformers, the hub client, safetensors and torch raise anything
        raise TreestarError(
            f"{kind} {name!r} cannot be loaded: {first_line(error)} (give {WANTED[kind]}; a hub id needs a network or "
            "a filled cache)"
        ) from error
    finally:
        if had_bars:
            logging.enable_progress_bar()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep transformers from warning about weights that are missing or unused: the caller checks what is missing."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def dtype_for(device: str) -> Any:
    """The checkpoint's own dtype on accelerators; on a CPU bf16 where it has instructions to multiply it, else fp32,
    for which every CPU has fast ones."""
    import torch

    if torch.device(device).type != "cpu":
        return "auto"
    found = torch.cpu.get_capabilities()
    return torch.bfloat16 if found.get("amx_bf16") or found.get("avx512_bf16") else torch.float32
