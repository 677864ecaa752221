"""What every retriever offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from treestar.retrieval.corpus import Paragraph

__all__ = ["Retriever"]


class Retriever(Protocol):
    """Finds paragraphs for a query."""

    name: str
    paragraphs: Sequence[Paragraph]
    """The corpus."""

    def search(self, query: str, top_k: int) -> list[Paragraph]:
        """The `top_k` paragraphs that suit `query` best, the best first; fewer if fewer suit it at all. The same query
        always finds the same paragraphs. Can be called from any thread."""
        ...
