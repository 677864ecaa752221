"""Code pasted from the README works: its Python, with the output shown, and its commands that need no network."""

import contextlib
import io
import re
import shlex
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from support.real_model import real_model_path

from treestar.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(<!-- not run: [^\n]+ -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    language: str
    text: str
    is_run: bool


BLOCKS = [Block(language, text, not marker) for marker, language, text in BLOCK.findall(README)]
COMMANDS = [
    line
    for block in BLOCKS
    if block.language == "bash" and block.is_run
    for line in block.text.splitlines()
    if line != "treestar doctor"  # run by tests/cli/test_cli.py
]


def test_every_block_is_run_or_says_why_not() -> None:
    assert {block.language for block in BLOCKS} == {"python", "bash", "text"}
    assert all(block.is_run for block in BLOCKS if block.language == "python")
    assert README.count("```") == 2 * len(BLOCKS)


@pytest.mark.real
def test_python_prints_what_is_shown() -> None:
    real_model_path()
    for block, following in pairwise(BLOCKS):
        if block.language == "python":
            assert following.language == "text", "the README shows what its Python prints"
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, "README.md", "exec"), {"__name__": "__main__"})
            assert printed.getvalue().rstrip() == following.text.rstrip()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_succeed(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    assert sys.argv[0] == "treestar"
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def test_it_is_short() -> None:
    assert len(README.split()) <= 700
