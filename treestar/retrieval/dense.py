"""Dense retrieval: paragraphs and queries as vectors by sentence-transformers, compared by cosine with faiss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from treestar.extras import needs_extra
from treestar.retrieval.corpus import Paragraph, shown
from treestar.types import TreestarError, first_line

__all__ = ["DenseRetriever"]

VECTORS = "vectors.faiss"
BATCH = 64

ENCODING = Lock()
"""Held while an encoder works: its tokenizer raises an error if two threads use it at the same time."""


class DenseRetriever:
    """Exact search for the vectors with the highest cosine.

    Args:
        paragraphs: the corpus, without repetitions.
        encoder: the name or folder of a sentence-transformers model, or such a model.

    Raises:
        TreestarError: the corpus is empty, a package is missing, or the model cannot be loaded.
    """

    def __init__(self, paragraphs: Sequence[Paragraph], encoder: Any) -> None:
        self.paragraphs = paragraphs
        if not paragraphs:
            raise TreestarError("the corpus is empty: give one with at least one titled paragraph")
        self.encoder = load_encoder(encoder)
        self.name = f"dense:{encoder if isinstance(encoder, str) else type(encoder).__name__}"
        vectors = self.vectors([shown(each) for each in paragraphs])
        self.index = faiss().IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)

    def save(self, folder: Path) -> None:
        """Write the vectors into `folder`. Raises OSError or RuntimeError."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss().write_index(self.index, str(folder / VECTORS))

    @classmethod
    def load(cls, folder: Path, paragraphs: Sequence[Paragraph], encoder: str) -> DenseRetriever:
        """The index that `save` wrote, memory-mapped. Raises OSError or RuntimeError if it cannot be read."""
        found = cls.__new__(cls)
        found.paragraphs, found.name, found.encoder = paragraphs, f"dense:{encoder}", load_encoder(encoder)
        found.index = faiss().read_index(str(folder / VECTORS), faiss().IO_FLAG_MMAP)
        if found.index.ntotal != len(paragraphs):
            raise ValueError(f"it is of {found.index.ntotal:,} paragraphs, not of {len(paragraphs):,}")
        return found

    def search(self, query: str, top_k: int) -> list[Paragraph]:
        """See `Retriever.search`."""
        _, places = self.index.search(self.vectors([query]), min(top_k, len(self.paragraphs)))
        return [self.paragraphs[int(place)] for place in places[0] if place >= 0]

    def vectors(self, texts: list[str]) -> Any:
        """One unit vector for each text: float32, shape (texts, width)."""
        with ENCODING:
            return self.encoder.encode(
                texts, batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
            )


def load_encoder(encoder: Any) -> Any:
    if not isinstance(encoder, str):
        return encoder
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise needs_extra("dense retrieval", "dense") from error
    try:
        return SentenceTransformer(encoder)
    except Exception as error:  # the hub client and transformers raise exceptions of any kind
        raise TreestarError(f"the encoder {encoder!r} cannot be loaded: {first_line(error)}") from error


def faiss() -> Any:
    try:
        import faiss as library
    except ImportError as error:
        raise needs_extra("dense retrieval", "dense") from error
    return library
