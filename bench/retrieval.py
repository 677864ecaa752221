"""Measure BM25 retrieval: paragraphs indexed per second and milliseconds per query, beside rank_bm25.

    python bench/retrieval.py [--sizes 10000,100000,1000000] [--queries 50] [--peer-sizes 10000,100000,1000000]

The corpus is the toy world (recipes/retrieval) at 10,000 paragraphs, and further worlds beyond that; the queries are
questions of 2 to 4 hops. Both libraries get the same paragraphs, stop words included for rank_bm25, which has no list
of them. "opened" is a query to the index read from disk, memory-mapped. Needs: pip install rank_bm25.
Writes bench/results/retrieval.json.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recipes.retrieval.world import make_world, questions
from treestar.retrieval import Paragraph, Retriever, build_index, open_index
from treestar.retrieval.corpus import shown
from treestar.storage.record import write_record

WORLD = 10_000
WORD = re.compile(r"(?u)\b\w\w+\b")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--peer-sizes", default="10000,100000,1000000")
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()
    sizes, peer_sizes = ([int(each) for each in text.split(",")] for text in (options.sizes, options.peer_sizes))
    queries = [problem.question for problem in questions(make_world(WORLD), options.queries, 0, held_out=False)]
    figures: dict[str, Any] = {"queries": len(queries), "top_k": 4, "sizes": {}}
    for size in sizes:
        paragraphs = corpus(size)
        figures["sizes"][size] = {"treestar": measure(paragraphs, queries)}
        if size in peer_sizes:
            figures["sizes"][size]["rank_bm25"] = measure_peer(paragraphs, queries)
        print(size, figures["sizes"][size], flush=True)
    write_record("bench/results/retrieval.json", figures, seed=0)


def corpus(size: int) -> list[Paragraph]:
    """The paragraphs of as many worlds as needed."""
    made: list[Paragraph] = []
    for seed in range(-(-size // WORLD)):
        made += make_world(min(WORLD, size), seed).paragraphs.values()
    return made[:size]


def measure(paragraphs: Sequence[Paragraph], queries: Sequence[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "index"
        started = time.perf_counter()
        built = build_index(paragraphs, out)
        seconds = time.perf_counter() - started
        opening = time.perf_counter()
        opened = open_index(out)
        opening = time.perf_counter() - opening
        return {
            "paragraphs_a_second": round(len(paragraphs) / seconds),
            "megabytes": round(sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6, 1),
            "opening_seconds": round(opening, 3),
            **milliseconds("query_ms", queries, lambda query: search(built, query)),
            **milliseconds("opened_query_ms", queries, lambda query: search(opened, query)),
        }


def search(retriever: Retriever, query: str) -> None:
    retriever.search(query, 4)


def measure_peer(paragraphs: Sequence[Paragraph], queries: Sequence[str]) -> dict[str, float]:
    from rank_bm25 import BM25Okapi

    started = time.perf_counter()
    index = BM25Okapi([words(shown(each)) for each in paragraphs])
    seconds = time.perf_counter() - started
    return {
        "paragraphs_a_second": round(len(paragraphs) / seconds),
        **milliseconds("query_ms", queries, lambda query: index.get_top_n(words(query), paragraphs, 4)),
    }


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def milliseconds(name: str, queries: Sequence[str], search: Callable[[str], Any]) -> dict[str, float]:
    """The median over the queries, each asked once after one to warm up."""
    search(queries[0])
    spent = []
    for query in queries:
        started = time.perf_counter()
        search(query)
        spent.append(1000 * (time.perf_counter() - started))
    return {name: round(statistics.median(spent), 3)}


if __name__ == "__main__":
    main()
