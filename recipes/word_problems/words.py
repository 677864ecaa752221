"""The words of `words.yaml`: for templates, for exchanging people, and those that names of variables leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

__all__ = ["WORDS"]


def read() -> dict[str, list[str]]:
    words: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
    return {**words, "person": [*words["girl"], *words["boy"]]}


WORDS: Mapping[str, Sequence[str]] = read()
