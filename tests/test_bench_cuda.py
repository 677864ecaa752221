"""bench/cuda.py, rehearsed on the CPU with tiny sizes, so that it works when a GPU is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_part_of_the_gpu_bench_runs(tmp_path: Path) -> None:
    out = tmp_path / "cuda.json"
    command = [sys.executable, "bench/cuda.py", "--device", "cpu", "--tiny", "--model", str(tmp_path / "none")]
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'bench'}"}
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(out.read_text())["figures"]
    assert not [name for name in ("equality", "speed", "training") if "failed" in figures[name]], figures
    assert figures["equality"]["toy"] == {"problems": 2, "equal_tokens": 2}
    assert figures["equality"]["largest_difference_of_scores"] < 1e-3
    assert figures["speed"]["large_random"]["8"]["search_over_raw"] > 0
    assert figures["training"]["sft"]["data"]["trajectories"] == 8
