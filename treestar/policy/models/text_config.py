"""Where a model's configuration describes its language model."""

from __future__ import annotations

from typing import Any

__all__ = ["text_config"]


def text_config(config: Any) -> Any:
    """The part of a transformers configuration that describes the language model: all of it, but for a model that also
    sees images (Gemma 3 from 4B on) its `text_config`, where context and window are."""
    found = getattr(config, "get_text_config", None)
    return config if found is None else found(decoder=True)
