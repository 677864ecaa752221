"""Where the output of `treestar` goes, and what it says if it cannot go there, or if Ctrl-C comes first."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from treestar import __version__

QUICK = ("--policy", "toy", "--strategy", "greedy")

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def test_the_version(treestar) -> None:
    ran = treestar("--version")
    assert (ran.code, ran.out) == (0, f"treestar {__version__}\n")


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([sys.executable, "-m", "treestar", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, "")


@needs_dev_full
@pytest.mark.parametrize("arguments", [("--version",), ("solve", "What is 2 + 3?", "--json", *QUICK)])
def test_a_full_disk_behind_stdout_is_one_sentence(
    treestar, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        ran = treestar(*arguments)
    assert ran.code == 1
    assert ran.err == "error: the output cannot be written: No space left on device\n"


@needs_dev_full
def test_results_that_cannot_be_kept_end_the_run(treestar) -> None:
    ran = treestar("solve", "What is 2 + 3?", "--out", "/dev/full", *QUICK)
    assert ran.code == 1
    assert "/dev/full cannot be written: the disk is full" in ran.said


def test_a_terminal_without_unicode_gets_question_marks(
    treestar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = tmp_path / "steps.txt"
    steps.write_text("print('π', 1)", encoding="utf-8")
    shown = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(shown, encoding="ascii"))
    assert treestar("exec", steps).code == 0
    assert "? 1" in shown.getvalue().decode("ascii")


def test_ctrl_c_while_the_commands_load_leaves_no_traceback(treestar, monkeypatch: pytest.MonkeyPatch) -> None:
    class CtrlC:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "treestar.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "treestar.cli.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [CtrlC(), *sys.meta_path])
    ran = treestar("--version")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_nothing_slow_loads_before_ctrl_c_is_handled() -> None:
    script = "import sys, treestar.cli; print(*(name for name in sys.modules if name.startswith('treestar.')))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["treestar.cli"]


def test_help_and_wrong_options_are_answered_before_torch_is_loaded() -> None:
    heavy = {"torch", "transformers", "numpy", "sympy"}
    script = f"import sys, treestar.cli.commands; print(*({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
