"""The `treestar` command, called in the process of the tests: starting one costs seconds of imports."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from treestar.cli import main


class Ran(NamedTuple):
    """The result of a command call."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All text, with line breaks and frames as spaces."""
        return re.sub(r"[\s│╭╮╰╯─]+", " ", self.out + self.err)


@pytest.fixture
def treestar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Call the command; it must always end with an exit code and without a traceback."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["treestar", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return call
