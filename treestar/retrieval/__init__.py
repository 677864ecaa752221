"""Retrieval of titled paragraphs: a corpus, BM25 and dense indexes, and the executor that answers a step's query."""

from treestar.retrieval.bm25 import BM25Retriever
from treestar.retrieval.config import RetrievalConfig
from treestar.retrieval.corpus import Paragraph, paragraphs_of, pooled_paragraphs, read_corpus, supporting_paragraphs
from treestar.retrieval.executor import RetrievalExecutor
from treestar.retrieval.index import build_index, open_index
from treestar.retrieval.retriever import Retriever

__all__ = [
    "BM25Retriever",
    "Paragraph",
    "RetrievalConfig",
    "RetrievalExecutor",
    "Retriever",
    "build_index",
    "open_index",
    "paragraphs_of",
    "pooled_paragraphs",
    "read_corpus",
    "supporting_paragraphs",
]
