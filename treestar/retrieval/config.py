"""The settings of retrieval in a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from treestar.config.checks import check_choice, check_left_out, check_whole

__all__ = ["RetrievalConfig"]


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """Where the paragraphs for a step come from, and how many."""

    retriever: str = "bm25"
    """`bm25` over the paragraphs that come with the questions, or a folder written by `treestar retrieval index`."""
    setting: Literal["pooled", "distractor"] = "pooled"
    """With `bm25`: search the paragraphs of the whole data set (pooled), or only those of the question (distractor)."""
    paragraphs: int = 4
    """Paragraphs that a query finds."""
    max_paragraphs: int = 15
    """Maximum number of paragraphs in a trajectory; later ones are not shown."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        check_choice(self, "setting")
        check_whole(self, "paragraphs", "max_paragraphs")
        if self.retriever != "bm25":
            check_left_out(self, "the retriever is bm25", "setting")
