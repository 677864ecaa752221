"""Loads a model's tokenizer so that text survives it."""

from __future__ import annotations

from typing import Any

__all__ = ["load_tokenizer"]

PROBE = "a b\n\nc"
"""What some tokenizers lose under transformers 5: spaces and line breaks."""


def load_tokenizer(path: str, **kwargs: Any) -> Any:
    """The tokenizer of the model at `path`, a folder or a hub id.

    `AutoTokenizer` of transformers 5 gives some byte-level tokenizers the wrong class, and they lose their spaces.
    Such a tokenizer is loaded from its file alone.

    Args:
        kwargs: passed to `from_pretrained`.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = AutoTokenizer.from_pretrained(path, **kwargs)
    if tokenizer.decode(tokenizer.encode(PROBE, add_special_tokens=False)).strip() == PROBE:
        return tokenizer
    return PreTrainedTokenizerFast.from_pretrained(path, **kwargs)
