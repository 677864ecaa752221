"""`treestar retrieval` and `treestar train steper` as users see them, and benchmarks with retrieval."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.questions import QUESTIONS
from support.tiny_model import save_tiny_model

from treestar.storage.files import locked


@pytest.fixture
def data_set(tmp_path: Path) -> str:
    lines = [json.dumps({"id": each.id, "question": each.question, "answer": each.answer, **each.metadata})
             for each in QUESTIONS]  # fmt: skip
    (tmp_path / "set.jsonl").write_text("\n".join(lines) + "\n")
    return f"jsonl:{tmp_path / 'set.jsonl'}"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny model with room for the paragraphs."""
    folder = save_tiny_model(tmp_path / "base", max_position_embeddings=2048)
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"model_max_length": 2048}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_corpus_is_indexed_and_searched(treestar, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS[1].metadata["paragraphs"]))
    code, _, said = treestar("retrieval", "index", corpus, "--out", tmp_path / "index")
    assert (code, "4 paragraphs" in said) == (0, True)
    code, found, _ = treestar("retrieval", "search", tmp_path / "index", "who built Bridge Nine?", "--top-k", "1")
    assert (code, found) == (0, "Title: Bridge Nine\nBridge Nine was built by Harrow Steel.\n")
    code, found, _ = treestar("retrieval", "search", tmp_path / "index", "Venn", "--json")
    assert {json.loads(line)["title"] for line in found.splitlines()} == {"Pia Venn", "Harrow Steel"}
    corpus.write_text("")
    code, _, said = treestar("retrieval", "index", corpus, "--out", tmp_path / "other")
    assert (code, "the corpus is empty" in said) == (1, True)


def test_a_student_is_distilled_and_measured(treestar, data_set: str, base: Path, tmp_path: Path) -> None:
    command = (
        "train",
        "steper",
        data_set,
        "--teacher",
        "scripted",
        "--base",
        base,
        "--epochs",
        "1",
        "--batch-size",
        "8",
    )
    code, _, said = treestar(*command, "--out", tmp_path / "student")
    assert code == 0, said
    assert "2 of 2 trajectories kept" in said
    assert "in 5 rows" in said
    assert (tmp_path / "student" / "sigmas.png").exists()
    shared = ("--trajectories", tmp_path / "student-trajectories")
    code, _, said = treestar(*command, "--out", tmp_path / "other", *shared, "--paragraphs", "2")
    assert (code, "made with other settings (retrieval.paragraphs)" in said) == (1, True)
    with locked(tmp_path / "student-trajectories"):
        code, _, said = treestar(*command, "--out", tmp_path / "other", *shared)
    assert (code, "student-trajectories is in use by another job, process" in said) == (1, True)
    code, _, said = treestar(*command, "--out", tmp_path / "other", *shared, "--limit", "-1")
    assert (code, "--limit" in said) == (2, True)
    bench = (
        "bench", data_set, "--policy", tmp_path / "student", "--strategy", "greedy", "--retriever", "bm25",
        "--steps", "2", "--max-step-tokens", "4", "--out", tmp_path / "run",
    )  # fmt: skip
    code, _, said = treestar(*bench)
    assert code == 0, said
    with locked(tmp_path / "run"):
        assert treestar(*bench, "--resume")[0] == 1
    assert len(json.loads((tmp_path / "run" / "provenance.json").read_text())) == 1, "the other process has its own"
    found = json.loads((tmp_path / "run" / "results.json").read_text())["results"][f"{data_set}/greedy"]
    assert {"exact_match,none", "f1,none", "contains,none", "support_recall@0,none", "support_recall@2,none"} <= set(
        found
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", "2"), "--steps is for retrieval: also give --retriever"),
        (("--paragraphs", "2"), "--paragraphs is for retrieval: also give --retriever"),
        (("--retriever", "bm25", "--paragraphs", "0"), "--paragraphs must be a whole number"),
        (("--retriever", "wiki", "--setting", "distractor"), "--setting must be left out unless the retriever is bm25"),
    ],
)
def test_options_that_do_not_fit_are_named(treestar, data_set: str, tmp_path: Path, options, message: str) -> None:
    code, _, said = treestar("bench", data_set, "--out", tmp_path / "run", *options)
    assert code == 2
    assert message in " ".join(said.split())


@pytest.mark.parametrize("command", ["solve", "bench"])
def test_a_policy_whose_steps_are_queries_needs_a_retriever(
    treestar, data_set: str, base: Path, tmp_path: Path, command: str
) -> None:
    asked = ("solve", "Who governs Telmar?") if command == "solve" else ("bench", data_set, "--out", tmp_path / "run")
    code, _, said = treestar(*asked, "--policy", base, "--step-format", "retrieval", "--strategy", "greedy")
    assert code == 1
    assert "are queries, and nothing is given to look them up in" in " ".join(said.split())


def test_several_processes_need_the_trajectories_first(
    treestar, data_set: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "steper", data_set, "--teacher", "scripted", "--out", tmp_path / "student", "--base", base)

    def said_by_several(*options: object) -> str:
        monkeypatch.setenv("WORLD_SIZE", "2")
        code, _, said = treestar(*command, *options)
        assert code == 1
        monkeypatch.delenv("WORLD_SIZE")
        return " ".join(said.split())

    missing = "no complete trajectories: run the same command in one process first"
    assert missing in said_by_several()
    folder = tmp_path / "student-trajectories"
    assert treestar(*command, "--limit", "1", "--epochs", "1", "--batch-size", "8", "--out", tmp_path / "one",
                    "--trajectories", folder)[0] == 0  # fmt: skip
    assert missing in said_by_several(), "the second question has not been asked"
    assert "made with other settings (min_f1)" in said_by_several("--limit", "1", "--min-f1", "0.5")
    [shard] = folder.glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-9])
    assert missing in said_by_several("--limit", "1")
    assert shard.exists(), "several processes only read"
