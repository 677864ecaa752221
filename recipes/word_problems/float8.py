"""An adapter in half the bytes: float8 instead of bfloat16, in the same layout.

    python -m recipes.word_problems.float8 ADAPTER --out FOLDER [--share 0.7]

The factors are multiplied by powers of two so that they use float8's range, and `lora_alpha` is divided by them, so
peft reads the folder like any other. Each entry is rounded to four binary digits, which changes a factor by 3% of its
norm.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from math import floor, log2
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from treestar.storage.files import read_json, write_json

__all__ = ["main", "store_in_float8"]

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"

FLOAT8 = torch.float8_e4m3fn


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Store an adapter in float8.")
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the adapter's change that is kept, for instance .7"
    )
    options = parser.parse_args(arguments)
    store_in_float8(options.adapter, options.out, options.share)


def store_in_float8(adapter: Path, out: Path, share: float = 1.0) -> None:
    """Write the adapter in the folder `adapter` into the folder `out`; other weights, such as a head, stay so.

    Args:
        share: of the change, from 0 (the base) to 1 (the adapter as it is): a point between the two weights often
            keeps what the base was better at.

    Raises:
        ValueError: `share` is outside that range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, not {share!r}")
    tensors = load_file(adapter / WEIGHTS)
    settings = read_json(adapter / SETTINGS)
    settings["lora_alpha"] *= share
    for factor in ("lora_A", "lora_B"):
        names = [name for name in tensors if factor in name]
        exponent = floor(log2(torch.finfo(FLOAT8).max / max(float(tensors[name].abs().max()) for name in names)))
        for name in names:
            tensors[name] = (tensors[name].float() * 2.0**exponent).to(FLOAT8)
        settings["lora_alpha"] /= 2.0**exponent
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / WEIGHTS)
    write_json(out / SETTINGS, settings)
    shutil.copy(adapter / "config.json", out)


if __name__ == "__main__":
    main()
