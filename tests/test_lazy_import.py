"""`import treestar` loads nothing; the public names and the rooms are there when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import treestar


def test_every_public_name_is_found_and_listed() -> None:
    for name in treestar.__all__:
        assert getattr(treestar, name) is not None
    assert set(treestar.__all__) <= set(dir(treestar))


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'treestar' has no attribute 'Slover'"):
        _ = treestar.Slover  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="Slover"):
        exec("from treestar import Slover")


def test_rooms_load_when_they_are_used() -> None:
    script = (
        "import sys, treestar\n"
        "print([name for name in sys.modules if name.startswith('treestar.')])\n"
        "print(treestar.MCTSConfig.__name__, treestar.retrieval.__name__, 'treestar.solver' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == ["[]", "MCTSConfig treestar.retrieval False"]
