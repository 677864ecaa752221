"""Models in GGUF files, llama.cpp's format: one file with configuration, tokenizer and mostly quantized weights.

transformers reads them with the package gguf. A file names the rule by which its tokenizer cuts text before it merges.
In place of a rule that it does not know, transformers takes GPT-2's, and a line break before a number becomes other
tokens. Here the name decides, and a name that is not known is an error.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from treestar.types import TreestarError

__all__ = ["gguf_in_folder", "gguf_metadata", "is_gguf", "load_gguf_tokenizer"]

SUFFIX = ".gguf"

SINGLE_DIGITS = {"codeshell", "command-r", "exaone", "minerva-7b", "refact", "smollm", "starcoder"}
"""Tokenizers (`tokenizer.ggml.pre`) that cut as GPT-2's does, after each digit has been set apart."""

AS_GPT2 = {"exaone4", "gpt-2", "granite-docling", "jais", "mpt", "olmo", "phi-2", "trillion"}
"""Tokenizers that cut as GPT-2's does."""


def is_gguf(path: str) -> bool:
    """Whether `path` names a GGUF file."""
    return path.endswith(SUFFIX)


def gguf_in_folder(folder: Path) -> Path | None:
    """The GGUF file of a folder that is a model by nothing else; None if it has none.

    Raises:
        TreestarError: there are several.
    """
    if (folder / "config.json").is_file():
        return None
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:4])
        raise TreestarError(f"{folder} has {len(found)} GGUF files ({names}): name one of them instead of the folder")
    return found[0] if found else None


def gguf_metadata(file: Path) -> dict[str, Any]:
    """What the file's header says by name, such as `general.architecture`; of a list of texts their number.

    Raises:
        TreestarError: the file cannot be read, or is not a GGUF file of version 2 or 3.
    """
    from transformers.integrations.gguf import read_gguf_metadata

    try:
        metadata, _ = read_gguf_metadata(str(file))
    except OSError as error:
        raise TreestarError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, struct.error) as error:
        raise TreestarError(f"{file} is not a complete GGUF file of version 2 or 3: {error}") from error
    return dict(metadata)


def load_gguf_tokenizer(file: Path) -> Any:
    """The tokenizer beside the file if there is one, otherwise the one inside, cutting text as its model was trained.

    Raises:
        TreestarError: it is not known how this tokenizer cuts text, or a package is missing.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if (file.parent / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast.from_pretrained(file.parent)
    metadata = gguf_metadata(file)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    cut_as_trained(tokenizer.backend_tokenizer, str(metadata.get("tokenizer.ggml.pre", "")), file)
    context = metadata.get(f"{metadata.get('general.architecture')}.context_length")
    if context is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, int(context))
    return tokenizer


def cut_as_trained(backend: Any, name: str, file: Path) -> None:
    """Give a byte-level tokenizer that transformers left at GPT-2's rule the rule of that name."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    if not isinstance(backend.pre_tokenizer, ByteLevel) or name in AS_GPT2:
        return
    if name not in SINGLE_DIGITS:
        raise TreestarError(
            f"the tokenizer in {file} cuts text by the rule {name or 'without a name'!r}, which treestar does not know "
            "(put the model's tokenizer.json and tokenizer_config.json beside the file, or give its safetensors folder)"
        )
    digits = Digits(individual_digits=True)
    backend.pre_tokenizer = Sequence([digits, ByteLevel(add_prefix_space=False, use_regex=True)])
