"""`treestar retrieval`: index a corpus of paragraphs, and search it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["retrieval"]

retrieval = typer.Typer(help="Index a corpus of titled paragraphs, or search it.", no_args_is_help=True)


@retrieval.command()
def index(
    corpus: Annotated[Path, typer.Argument(help="JSON Lines or Parquet with the fields `title` and `text`.")],
    out: Annotated[Path, typer.Option(help="Folder for the index.")],
    encoder: Annotated[
        str | None,
        typer.Option(help="A sentence-transformers model, for dense retrieval. [default: BM25]", show_default=False),
    ] = None,
) -> None:
    """Index a corpus; repeated paragraphs are indexed once."""
    from treestar.retrieval import build_index, read_corpus

    console = Console(stderr=True, soft_wrap=True)
    started = time.perf_counter()
    with console.status("indexing"):
        count = len(build_index(read_corpus(corpus), out, encoder).paragraphs)
    seconds = time.perf_counter() - started
    console.print(f"written: {out}, {count:,} paragraphs in {seconds:.1f} s", highlight=False, markup=False)


@retrieval.command()
def search(
    folder: Annotated[Path, typer.Argument(help="A folder written by `treestar retrieval index`.")],
    query: Annotated[str, typer.Argument(help="The question, or any text.")],
    top_k: Annotated[int, typer.Option(help="Number of paragraphs.", min=1)] = 4,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per paragraph.")] = False,
) -> None:
    """Print the paragraphs that match a query best, best first."""
    from treestar.retrieval import open_index
    from treestar.retrieval.corpus import shown

    found = open_index(folder).search(query, top_k)
    print("\n".join(json.dumps(each._asdict()) for each in found) if json_ else "\n\n".join(map(shown, found)))
