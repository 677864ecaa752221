"""An index on disk: the paragraphs of a corpus, and what a retriever computed from them.

FOLDER/paragraphs.jsonl   one paragraph per line; read one by one where they lie
FOLDER/offsets.npy        where each line begins
FOLDER/scores/            the retriever's own files
FOLDER/index.json         kind, encoder, and the sizes of the files; written last, so a folder with it is complete
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from treestar.retrieval.bm25 import BM25Retriever
from treestar.retrieval.corpus import Paragraph, distinct
from treestar.retrieval.dense import DenseRetriever
from treestar.retrieval.retriever import Retriever
from treestar.storage.files import locked, read_json, write_json, writing
from treestar.types import TreestarError

__all__ = ["StoredParagraphs", "build_index", "open_index"]

PARAGRAPHS, OFFSETS, SCORES, ABOUT = "paragraphs.jsonl", "offsets.npy", "scores", "index.json"


class StoredParagraphs(Sequence[Paragraph]):
    """The paragraphs of an index, memory-mapped. Raises OSError or ValueError if they cannot be read."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        with (folder / PARAGRAPHS).open("rb") as file:
            self.lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.offsets = np.load(folder / OFFSETS, mmap_mode="r")
        if not len(self.offsets) or self.offsets[-1] != len(self.lines):
            raise ValueError(f"{PARAGRAPHS} is not whole")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, place: int) -> Paragraph: ...

    @overload
    def __getitem__(self, place: slice) -> list[Paragraph]: ...

    def __getitem__(self, place: int | slice) -> Paragraph | list[Paragraph]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return Paragraph(*json.loads(self.lines[int(self.offsets[place]) : int(self.offsets[place + 1])]))


def build_index(paragraphs: Iterable[Paragraph], folder: Path, encoder: str | None = None) -> Retriever:
    """Index a corpus, without its repetitions, and write the index into `folder`.

    Args:
        encoder: a sentence-transformers model for dense retrieval; None for BM25.

    Raises:
        TreestarError: the corpus is empty, `folder` already has an index, is in use or cannot be written, or a package
            is missing.
    """
    corpus = distinct(paragraphs)  # before there is a folder, because it may not be readable
    with locked(folder):
        if (folder / ABOUT).exists():
            raise TreestarError(f"{folder} already contains an index: give another folder")
        retriever = BM25Retriever(corpus) if encoder is None else DenseRetriever(corpus, encoder)
        with writing(folder):
            write_paragraphs(corpus, folder)
            retriever.save(folder / SCORES)
            kind = "bm25" if encoder is None else "dense"
            write_json(folder / ABOUT, {"kind": kind, "encoder": encoder, "bytes": sizes(folder)})
    return retriever


def sizes(folder: Path) -> dict[str, int]:
    """The number of bytes of each file of an index, by its path in `folder`."""
    files = [folder / PARAGRAPHS, folder / OFFSETS, *sorted((folder / SCORES).iterdir())]
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def write_paragraphs(corpus: Sequence[Paragraph], folder: Path) -> None:
    import numpy as np

    offsets = [0]
    with (folder / PARAGRAPHS).open("wb") as file:
        for each in corpus:
            offsets.append(offsets[-1] + file.write(json.dumps(each).encode("ascii") + b"\n"))
    np.save(folder / OFFSETS, np.array(offsets, dtype=np.int64))


def open_index(folder: Path) -> Retriever:
    """The retriever whose index lies in `folder`.

    Raises:
        TreestarError: there is no complete index, or a package is missing.
    """
    if not (folder / ABOUT).exists():
        raise TreestarError(
            f"{folder} has no complete index: make one with `treestar retrieval index CORPUS --out {folder}`"
        )
    try:
        about = read_about(folder)
        check_sizes(folder, about.get("bytes", {}))
        paragraphs = StoredParagraphs(folder)
        if about["kind"] == "bm25":
            return BM25Retriever.load(folder / SCORES, paragraphs)
        return DenseRetriever.load(folder / SCORES, paragraphs, about["encoder"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise TreestarError(
            f"the index in {folder} cannot be read ({error}): make it again in another folder with `treestar retrieval "
            "index CORPUS --out FOLDER`"
        ) from error


def read_about(folder: Path) -> dict[str, Any]:
    """The content of index.json. Raises OSError or ValueError."""
    try:
        return dict(read_json(folder / ABOUT))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{ABOUT} is damaged: {error}") from error


def check_sizes(folder: Path, expected: Mapping[str, int]) -> None:
    """Raise OSError or ValueError that names a file that is missing or not whole. The first indexes did not store how
    large their files are."""
    for name, size in expected.items():
        found = (folder / name).stat().st_size
        if found != size:
            raise ValueError(f"{name} has {found:,} of {size:,} bytes")
