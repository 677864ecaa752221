"""Indexes: what BM25 finds, that it is the same after storing, and that an index on disk is complete or refused."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.questions import QUESTIONS
from support.tiny_model import tiny_model

from treestar.retrieval import BM25Retriever, Paragraph, build_index, open_index, pooled_paragraphs
from treestar.retrieval.dense import DenseRetriever
from treestar.storage.files import locked
from treestar.types import TreestarError

PARAGRAPHS = pooled_paragraphs(QUESTIONS)


def test_bm25_ranks_by_rare_shared_words_and_finds_nothing_without_one() -> None:
    retriever = BM25Retriever(PARAGRAPHS)
    assert [each.title for each in retriever.search("Who built Bridge Nine?", 2)] == ["Bridge Nine", "Bridge Ten"]
    assert retriever.search("zebra", 3) == retriever.search("of the", 3) == retriever.search("", 3) == []
    assert len(retriever.search("born", 100)) == 3


def test_the_ranking_is_that_of_lucenes_formula() -> None:
    """Robertson and Zaragoza 2009 with idf ln(1 + (N - n + 0.5) / (n + 0.5)), k1 1.5, b 0.75."""
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(40)]
    texts = [" ".join(rng.choice(words, size=rng.integers(4, 12))) for _ in range(60)]
    retriever = BM25Retriever([Paragraph("x", text) for text in texts])
    counts = np.array([[text.split().count(word) for word in words] for text in texts])
    lengths = counts.sum(axis=1)  # without the title, because letters alone do not count
    idf = np.log(1 + (60 - (counts > 0).sum(axis=0) + 0.5) / ((counts > 0).sum(axis=0) + 0.5))
    parts = idf * counts / (counts + 1.5 * (0.25 + 0.75 * lengths / lengths.mean())[:, None])
    for chosen in ([0, 1], [5, 6, 7], [10, 11, 12, 13]):
        scores = parts[:, chosen].sum(axis=1)
        found = [texts.index(each.text) for each in retriever.search(" ".join(words[n] for n in chosen), 5)]
        assert scores[found] == pytest.approx(np.sort(scores)[::-1][:5], rel=1e-4)


def test_the_label_of_a_title_is_no_word_of_the_corpus() -> None:
    assert BM25Retriever(PARAGRAPHS).search("Which title?", 3) == []


def test_a_corpus_without_words_finds_nothing(tmp_path: Path) -> None:
    paragraphs = [Paragraph("", ""), Paragraph("A", "of the")]
    for retriever in (build_index(paragraphs, tmp_path / "index"), open_index(tmp_path / "index")):
        assert retriever.search("of the bridge", 3) == retriever.search(" ", 3) == []
    [found] = BM25Retriever([*paragraphs, Paragraph("B", "bridge")]).search("bridge", 3)
    assert found.title == "B"


def test_an_index_on_disk_finds_the_same(tmp_path: Path) -> None:
    built = build_index([*PARAGRAPHS, *PARAGRAPHS], tmp_path / "index")
    opened = open_index(tmp_path / "index")
    for query in ("born in Telmar", "Harrow Steel founder", "zebra"):
        assert opened.search(query, 3) == built.search(query, 3)
    assert isinstance(opened, BM25Retriever)
    assert isinstance(opened.index.scores["data"], np.memmap)
    assert len(opened.paragraphs) == len(PARAGRAPHS)
    assert opened.paragraphs[2:4] == PARAGRAPHS[2:4]
    with pytest.raises(TreestarError, match="already contains an index"):
        build_index(PARAGRAPHS, tmp_path / "index")


def test_an_unfinished_index_and_an_empty_corpus_are_one_sentence(tmp_path: Path) -> None:
    build_index(PARAGRAPHS, tmp_path / "index")
    (tmp_path / "index" / "index.json").unlink()
    with pytest.raises(TreestarError, match="no complete index: make one with `treestar retrieval index"):
        open_index(tmp_path / "index")
    with pytest.raises(TreestarError, match="the corpus is empty"):
        build_index([], tmp_path / "other")


@pytest.mark.parametrize("kept", [0, -9, None])
@pytest.mark.parametrize(
    "name", ["index.json", "paragraphs.jsonl", "offsets.npy", "scores/data.csc.index.npy", "scores/vocab.index.json"]
)
def test_a_file_that_is_empty_cut_off_or_missing_is_named_in_one_sentence(
    tmp_path: Path, name: str, kept: int | None
) -> None:
    build_index(PARAGRAPHS, tmp_path / "index")
    file = tmp_path / "index" / name
    if kept is not None:
        file.write_bytes(file.read_bytes()[:kept])
        sentence = rf"cannot be read \({name} .*make it again in another folder"
    else:
        file.unlink()
        sentence = "no complete index: make one" if name == "index.json" else rf"No such file.*{name}.*make it again"
    with pytest.raises(TreestarError, match=sentence):
        open_index(tmp_path / "index")


def test_an_index_that_does_not_know_its_sizes_is_read_or_refused(tmp_path: Path) -> None:
    build_index(PARAGRAPHS, tmp_path / "index")
    about = tmp_path / "index" / "index.json"
    about.write_text('{"kind": "bm25", "encoder": null}')
    assert open_index(tmp_path / "index").search("Bridge Nine", 1)
    (tmp_path / "index" / "offsets.npy").write_bytes(b"")
    with pytest.raises(TreestarError, match="cannot be read"):
        open_index(tmp_path / "index")


def test_one_process_at_a_time_writes_into_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path / "index"), pytest.raises(TreestarError, match="is in use by another job, process"):
        build_index(PARAGRAPHS, tmp_path / "index")
    assert not (tmp_path / "index" / "paragraphs.jsonl").exists()
    build_index(PARAGRAPHS, tmp_path / "index")


def test_scores_of_another_corpus_are_refused(tmp_path: Path) -> None:
    build_index(PARAGRAPHS, tmp_path / "index")
    build_index(PARAGRAPHS[1:], tmp_path / "other")
    for file in (tmp_path / "other" / "scores").iterdir():
        (tmp_path / "index" / "scores" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(TreestarError, match=r"cannot be read \(scores/"):
        open_index(tmp_path / "index")
    (tmp_path / "index" / "index.json").write_text('{"kind": "bm25", "encoder": null}')
    with pytest.raises(TreestarError, match="it is of 7 paragraphs, not of 8"):
        open_index(tmp_path / "index")


class LetterCounts:
    """An encoder with the interface of sentence-transformers: unit vectors of letter counts."""

    def encode(self, texts: list[str], **_: Any) -> np.ndarray:
        counts = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_dense_search_finds_the_nearest_text() -> None:
    pytest.importorskip("faiss")
    retriever = DenseRetriever(PARAGRAPHS, LetterCounts())
    for each in PARAGRAPHS[:4]:
        assert retriever.search(f"Title: {each.title}\n{each.text}", 1) == [each]
    assert len(retriever.search("born", 100)) == len(PARAGRAPHS)


def test_an_encoder_is_used_by_one_thread_at_a_time() -> None:
    pytest.importorskip("faiss")

    class Exclusive(LetterCounts):
        """As a tokenizer of transformers, which says `Already borrowed`."""

        borrowed = False

        def encode(self, texts: list[str], **settings: Any) -> np.ndarray:
            assert not self.borrowed
            self.borrowed = True
            time.sleep(0.001)
            self.borrowed = False
            return super().encode(texts, **settings)

    retriever = DenseRetriever(PARAGRAPHS, Exclusive())
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: retriever.search("born in Telmar", 2), range(40)))
    assert all(each == found[0] for each in found)


def test_a_dense_index_on_disk_finds_the_same(tmp_path: Path) -> None:
    """With sentence-transformers over a tiny random BERT."""
    pytest.importorskip("faiss")
    pytest.importorskip("sentence_transformers")
    from transformers import BertConfig, BertModel

    _, tokenizer = tiny_model()
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    built = build_index(PARAGRAPHS, tmp_path / "index", str(tmp_path / "encoder"))
    opened = open_index(tmp_path / "index")
    for each in PARAGRAPHS:
        text = f"Title: {each.title}\n{each.text}"
        assert opened.search(text, 1) == [each]
        assert opened.search(text, 4) == built.search(text, 4)


def test_dense_retrieval_says_what_to_install() -> None:
    try:
        import sentence_transformers  # noqa: F401
    except ImportError:
        with pytest.raises(TreestarError, match=r"treestar\[dense\]"):
            DenseRetriever(PARAGRAPHS, "some/model")


def test_text_that_is_not_valid_unicode_is_kept(tmp_path: Path) -> None:
    odd = Paragraph("A", "half of a pair \ud800 and more")
    build_index([odd, Paragraph("B", "other")], tmp_path / "index")
    assert open_index(tmp_path / "index").search("pair", 1) == [odd]
