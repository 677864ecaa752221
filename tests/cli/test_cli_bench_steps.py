"""`treestar bench processbench` and `treestar bench prmbench`."""

import json
from collections.abc import Callable
from pathlib import Path

from support.step_sets import write_prmbench, write_processbench
from support.tiny_model import save_tiny_model

from tests.cli.conftest import Ran


def test_a_judge_is_measured_and_the_run_resumed(treestar: Callable[..., Ran], tmp_path: Path) -> None:
    write_processbench(tmp_path)
    judge = f"{save_tiny_model(tmp_path / 'model', max_position_embeddings=4096)}?judge_tokens=4"
    run = ["bench", "processbench", "--subsets", "gsm8k", "--scorer", judge, "--data-dir", tmp_path, "--problems", 3]
    run += ["--out", tmp_path / "out"]
    first = treestar(*run)
    assert first.code == 0, first.said
    assert "mean 0.0" in first.out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["scorer"].endswith("(judge)")
    assert results["cost"]["judged_tokens"] > 0
    assert "generated." in (tmp_path / "out" / "report.md").read_text()
    assert "--resume" in treestar(*run).said
    again = treestar(*run, "--resume")
    assert (again.code, again.out) == (0, first.out)
    assert "other settings" in treestar(*run, "--problems", 2, "--resume").said
    assert "other settings (dtype)" in treestar(*run, "--dtype", "bfloat16", "--resume").said


def test_prmbench_is_measured_by_class(treestar: Callable[..., Ran], tmp_path: Path) -> None:
    write_prmbench(tmp_path)
    judge = f"{save_tiny_model(tmp_path / 'model', max_position_embeddings=4096)}?judge_tokens=4"
    run = ["bench", "prmbench", "--classes", "circular,counterfactual", "--scorer", judge, "--data-dir", tmp_path]
    found = treestar(*run, "--out", tmp_path / "out")
    assert found.code == 0, found.said
    assert "verdict (threshold 0): NCL" in found.out
    refused = treestar(*run, "--threshold-on", "deception", "--out", tmp_path / "other")
    assert refused.code == 2
    assert "is not measured" in refused.said
    misspelled = treestar("bench", "prmbench", "--classes", "circlar", "--scorer", judge, "--out", tmp_path / "none")
    assert misspelled.code == 2
    assert "unknown class 'circlar': did you mean circular?" in misspelled.said
    given = treestar(*run, "--threshold", -0.5, "--out", tmp_path / "given")
    assert "given (threshold -0.5)" in given.out
