"""Lexical retrieval with BM25, by the library bm25s: scores are computed when the index is built, and memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treestar.extras import needs_extra
from treestar.retrieval.corpus import Paragraph
from treestar.types import TreestarError

__all__ = ["BM25Retriever"]


class BM25Retriever:
    """BM25 over titles and texts, in Lucene's variant (k1 1.5, b 0.75), English stop words left out.

    Args:
        paragraphs: the corpus, without repetitions.

    Raises:
        TreestarError: the corpus is empty, or bm25s is not installed.
    """

    name = "bm25"

    def __init__(self, paragraphs: Sequence[Paragraph]) -> None:
        self.paragraphs = paragraphs
        if not paragraphs:
            raise TreestarError("the corpus is empty: give one with at least one titled paragraph")
        self.index = library().BM25()
        self.index.index(tokens([f"{each.title}\n{each.text}" for each in paragraphs]), show_progress=False)

    def save(self, folder: Path) -> None:
        """Write the index, without the paragraphs, into `folder`. Raises OSError."""
        self.index.save(str(folder), show_progress=False)

    @classmethod
    def load(cls, folder: Path, paragraphs: Sequence[Paragraph]) -> BM25Retriever:
        """The index that `save` wrote, memory-mapped. Raises OSError or ValueError if it cannot be read."""
        found = cls.__new__(cls)
        found.paragraphs = paragraphs
        found.index = library().BM25.load(str(folder), mmap=True, show_progress=False)
        if found.index.scores["num_docs"] != len(paragraphs):
            raise ValueError(f"it is of {found.index.scores['num_docs']:,} paragraphs, not of {len(paragraphs):,}")
        return found

    def search(self, query: str, top_k: int) -> list[Paragraph]:
        """See `Retriever.search`. A paragraph that shares no word with the query is not found."""
        words = library().tokenize([query], stopwords="en", return_ids=False, show_progress=False)
        places, scores = self.index.retrieve(
            words, k=min(top_k, len(self.paragraphs)), show_progress=False, backend_selection="numpy"
        )
        return [self.paragraphs[int(place)] for place, score in zip(places[0], scores[0], strict=True) if score > 0]


def tokens(texts: list[str]) -> Any:
    """The words of each text, as bm25s indexes them. It cannot index a corpus without any word, so that one gets a word
    which no query has."""
    found = library().tokenize(texts, stopwords="en", show_progress=False)
    return found if found.vocab else type(found)([[0]] * len(texts), {" ": 0})


def library() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise needs_extra("BM25", "retrieval") from error
    return bm25s
