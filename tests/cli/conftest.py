"""The `treestar` command, called in the process of the tests: starting one costs seconds of imports."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest

from treestar.cli import main


class Ran:
    """The result of a command call."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.said = re.sub(r"[\s│╭╮╰╯─]+", " ", out + err)
        """All text, with line breaks and frames as spaces."""


@pytest.fixture
def treestar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Call the command; it must always end with an exit code and without a traceback."""

    def call(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["treestar", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return call
