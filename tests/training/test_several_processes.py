"""Training in two processes equals training in one: the same losses and weights, one set of files, one log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.ppm_trees import telling_tree
from support.train_in_processes import train_both


def launched(launcher: list[str], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, connected over 127.0.0.1."""
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-m", *launcher, *command], capture_output=True, text=True, env=environment, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Two processes with one forward pass per step equal one with two: the global batch covers all processes."""
    said: list[str] = []
    train_both(tmp_path / "one", accumulation=2, say=said.append)
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    result = launched(launcher, ["-m", "support.train_in_processes", str(tmp_path / "two"), "1"])
    assert result.stdout.splitlines() == said
    for name in ("policy", "ppm"):
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
        alone, together = (json.loads((folder / "training.json").read_text()) for folder in (one, two))
        assert (alone["settings"]["processes"], together["settings"]["processes"]) == (1, 2)
        assert alone["steps"] == together["steps"] == 4
        assert [loss for _, loss in together["losses"]] == pytest.approx(
            [loss for _, loss in alone["losses"]], rel=1e-5
        )
        assert len({loss for _, loss in alone["losses"]}) == 4
        assert together.get("pair_accuracy_by_epoch") == alone.get("pair_accuracy_by_epoch")
        expected, found = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
        assert expected.keys() == found.keys()
        for weight in expected:  # the policy is stored in bfloat16
            assert torch.allclose(expected[weight], found[weight], rtol=0.02, atol=1e-5), weight


@pytest.mark.slow
def test_accelerate_launches_the_command(tmp_path: Path) -> None:
    (tmp_path / "trees").mkdir()
    for number in range(10):
        telling_tree(number).save(tmp_path / "trees" / f"{number}.json")
    command = ["-m", "treestar", "train", "ppm", "--trees", str(tmp_path / "trees"), "--out", str(tmp_path / "ppm")]
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0"]
    result = launched(launcher, [*command, "--batch-tokens", "130", "--epochs", "1"])
    assert result.stderr.count("10 trees read") == 1
    assert result.stderr.count(f"written: {tmp_path / 'ppm'}") == 1
    assert json.loads((tmp_path / "ppm" / "training.json").read_text())["settings"]["processes"] == 2
