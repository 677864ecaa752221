"""Starting a training under a launcher: what the processes receive, and the errors if that fails."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from treestar.training.launch import launch
from treestar.types import TreestarError

PYTHON = shlex.quote(sys.executable)


def test_the_module_gets_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"b": 1}')
    launch(PYTHON, "json.tool", ["--compact", str(tmp_path / "in.json"), str(tmp_path / "out.json")])
    assert (tmp_path / "out.json").read_text().strip() == '{"b":1}'


def test_the_started_process_holds_the_descriptors(tmp_path: Path) -> None:
    """The launcher here is a program that fails unless its last argument is an open descriptor."""
    launcher = f"{PYTHON} -c 'import os, sys; os.fstat(int(sys.argv[-1]))'"
    with (tmp_path / "lock").open("w") as lock:
        launch(launcher, "module", [str(lock.fileno())], held=[lock.fileno()])
        with pytest.raises(TreestarError, match="failed with exit code 1"):
            launch(launcher, "module", [str(lock.fileno())])


def test_a_launcher_that_does_not_exist_is_named() -> None:
    with pytest.raises(TreestarError, match=r"launcher '\./nobody --fast' cannot be started: No such file"):
        launch("./nobody --fast", "json.tool", [])
