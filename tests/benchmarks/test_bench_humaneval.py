"""bench/humaneval.py: a real model behind it, and the figures from its lines."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.paths import SHARED, needs_shared
from support.tiny_model import save_tiny_model

SCRIPT = Path(__file__).parents[2] / "bench" / "humaneval.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_humaneval", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(name: str, greedy: str, samples: list[str]) -> dict[str, object]:
    return {
        "id": name,
        "greedy": {"verdicts": [greedy], "tokens": 5, "seconds": 1.0},
        "samples": {"verdicts": samples, "tokens": 50, "seconds": 2.0},
    }


def test_figures_from_lines() -> None:
    lines = [
        line("a", "passed", ["passed"] * 5 + ["AssertionError"] * 5),
        line("b", "no program", ["NameError"] * 8 + ["too long"] * 2),
    ]
    found = script().figures_of(lines, "models/small", 164)
    assert (found["model"], found["problems"], found["of"]) == ("small", 2, 164)
    assert found["pass@1 greedy"] == 0.5
    assert found["pass@1 at 0.8"] == 0.25
    assert found["pass@10 at 0.8"] == 0.5
    assert found["trajectories without a program"] == {"greedy": 0.5, "samples": 0.1}
    low, high = found["pass@1 greedy, 95%"]
    assert 0 < low < 0.5 < high < 1


@needs_shared("sets")
def test_a_run_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_tiny_model(tmp_path / "tiny", treestar_format="cot")
    module = script()
    monkeypatch.setattr(
        module, "WAYS", {name: type(each)(max_generated_tokens=20) for name, each in module.WAYS.items()}
    )
    lines, record = tmp_path / "lines.jsonl", tmp_path / "record.json"
    for limit in (1, 2):
        options = [
            "--policy",
            folder,
            "--limit",
            limit,
            "--data-dir",
            SHARED / "sets",
            "--lines",
            lines,
            "--record",
            record,
        ]
        monkeypatch.setattr(sys, "argv", ["bench/humaneval.py", *map(str, options)])
        before = lines.read_text() if lines.exists() else ""
        module.main()
        assert lines.read_text().startswith(before)
        assert len(lines.read_text().splitlines()) == limit
        found = json.loads(record.read_text())
        assert found["figures"]["problems"] == limit
        assert str(tmp_path) not in record.read_text(), "a record has no path of this machine"
        assert found["figures"]["pass@1 greedy"] == 0.0
