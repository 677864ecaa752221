"""What is said about a missing optional package: one sentence, with an extra that exists."""

from __future__ import annotations

import re
from pathlib import Path

from treestar.extras import install_command, needs_extra

ROOT = Path(__file__).parents[1]
SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "treestar").rglob("*.py")}


def test_the_error_says_what_to_install() -> None:
    error = needs_extra("a plot", "bench")
    assert str(error) == "a plot needs packages that are not installed: pip install 'treestar[bench]'"


def test_every_extra_that_the_code_names_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    named = {
        extra
        for text in SOURCES.values()
        for extra in re.findall(r'(?:needs_extra|install_command)\(.*?"(\w+)"\)', text)
    }
    assert named >= {"bench", "dense", "gym", "openai", "ray", "retrieval", "serve", "train", "vllm"}
    assert [name for name in named if not re.search(rf"^{name} = ", extras, re.MULTILINE)] == []


def test_no_other_place_has_its_own_command() -> None:
    command = install_command("").partition("[")[0]
    assert [path.name for path, text in SOURCES.items() if f"{command}[" in text] == ["extras.py"]
