"""Puts `--help` texts into the command line reference: a line `::: help treestar solve` becomes what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

__all__ = ["on_page_markdown"]

HELP = re.compile(r"^::: help treestar ?(.*)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page. A command that fails fails the build."""
    return HELP.sub(lambda match: f"```text\n{help_text(match[1].split())}```", markdown)


def help_text(command: list[str]) -> str:
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "treestar", *command, "--help"]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
