"""Tokenizers that keep every character of a text.

transformers 5 rebuilds a tokenizer as the class that its tokenizer_config.json names, or that belongs to its model's
type, and takes only the vocabulary from tokenizer.json. Byte-level BPE under the name `LlamaTokenizer` (DeepSeek's
distilled Llamas, DeepSeekMath) then loses all spaces and newlines, and a vocabulary under another family's name cuts
numbers in other places than in training. Nothing fails; the answers get worse. So every tokenizer is tried here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from treestar.policy.models.adapter import base_of, is_adapter
from treestar.policy.models.gguf_file import is_gguf, load_gguf_tokenizer
from treestar.types import TreestarError

__all__ = ["load_tokenizer", "repaired_tokenizer"]

ROUND_TRIP = "a b\n\nc"

PIECES = "a b\n\nc  d\te 12345 3.14, don't (x+y)\\frac{1}{2}: it's\n  x = 10_000 # é"
"""What pre-tokenizers cut differently: runs of white space, digits, apostrophes, punctuation, letters beyond ASCII."""


def load_tokenizer(path: str) -> Any:
    """The transformers tokenizer of a model, with the behavior that its tokenizer.json describes.

    Args:
        path: a folder, also of an adapter, hub id or GGUF file.

    Raises:
        TreestarError: the tokenizer does not give back the text that it encoded.
        Exception: whatever transformers raises if there is no tokenizer; see `loading`.
    """
    return load(path)[0]


def repaired_tokenizer(path: str) -> Any:
    """The same tokenizer if `AutoTokenizer`, which other libraries use, loads another one; otherwise None."""
    tokenizer, repaired = load(path)
    return tokenizer if repaired else None


def load(path: str) -> tuple[Any, bool]:
    """The tokenizer, and whether it is another one than that of `AutoTokenizer`."""
    if is_adapter(path) and not (Path(path) / "tokenizer_config.json").is_file():
        return load(base_of(path))
    if is_gguf(path):
        return checked(load_gguf_tokenizer(Path(path)), path), False
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = AutoTokenizer.from_pretrained(path)
    kept = keeps_text(tokenizer)
    if kept and not cuts_differently(tokenizer, path):
        return tokenizer, False
    try:
        exact = PreTrainedTokenizerFast.from_pretrained(path)
    except Exception:  # the model has no tokenizer.json; transformers raises anything
        exact = None
    if exact is not None and keeps_text(exact):
        return exact, True
    return checked(tokenizer, path), False


def checked(tokenizer: Any, path: str) -> Any:
    """The tokenizer. Raises TreestarError if it loses text."""
    if keeps_text(tokenizer):
        return tokenizer
    raise TreestarError(
        f"the tokenizer of {path!r} loses text: {ROUND_TRIP!r} comes back as {round_trip(tokenizer)!r}, so the model "
        "could not read line breaks and spaces (give a model whose tokenizer keeps every text, as byte-level BPE and "
        "SentencePiece with byte fallback do)"
    )


def keeps_text(tokenizer: Any) -> bool:
    """Whether a text survives encoding and decoding. SentencePiece puts a space in front of a text."""
    return round_trip(tokenizer).removeprefix(" ") == ROUND_TRIP


def round_trip(tokenizer: Any) -> str:
    ids = tokenizer.encode(ROUND_TRIP, add_special_tokens=False)
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def cuts_differently(tokenizer: Any, path: str) -> bool:
    """Whether the tokenizer cuts a text into other pieces than the model's tokenizer.json does."""
    file = tokenizer_file(path)
    if file is None or not tokenizer.is_fast:
        return False
    from tokenizers import Tokenizer

    described = json.loads(file.read_text(encoding="utf-8"))
    # How a text is cut does not depend on the vocabulary, which takes seconds to build.
    described |= {"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": [], "post_processor": None}
    return pieces(tokenizer.backend_tokenizer) != pieces(Tokenizer.from_str(json.dumps(described)))


def tokenizer_file(path: str) -> Path | None:
    """The model's tokenizer.json: in its folder, or in the hub's cache once the tokenizer has been loaded."""
    from transformers.utils import cached_file

    try:
        return Path(cached_file(path, "tokenizer.json"))
    except OSError:
        return None


def pieces(backend: Any) -> list[str]:
    """The pieces of a text between which a `tokenizers.Tokenizer` never merges."""
    text = PIECES if backend.normalizer is None else backend.normalizer.normalize_str(PIECES)
    if backend.pre_tokenizer is None:
        return [text]
    return [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
