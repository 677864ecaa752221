"""Records of measurements: figures with the machine, versions, command and seed needed to reproduce them."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from treestar.storage.files import write_json

__all__ = ["machine", "versions", "write_record"]

PACKAGES = (
    "treestar",
    "torch",
    "transformers",
    "sympy",
    "math-verify",
    "latex2sympy2_extended",
    "RestrictedPython",
    "treequest",
    "its_hub",
    "reasoning-gym",
)


def write_record(path: str | Path, figures: dict[str, Any], seed: int, command: str | None = None) -> None:
    """Write `figures` to `path` as JSON with machine, versions, command, seed and date, and print them.

    Args:
        command: the command that was run; if None, this process's script and arguments.

    Raises:
        OSError: `path` cannot be written.
    """
    path = Path(path)
    script = Path(sys.argv[0])
    record = {
        "name": path.stem,
        "date": date.today().isoformat(),
        "command": command or shlex.join(["python", f"{script.parent.name}/{script.name}", *sys.argv[1:]]),
        "seed": seed,
        "machine": machine(),
        "versions": versions(),
        "figures": figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    print(json.dumps(figures, indent=2))


def machine() -> dict[str, Any]:
    """Platform, processor and number of logical CPUs."""
    return {"platform": platform.platform(), "processor": processor(), "cpus": os.cpu_count()}


def processor() -> str:
    """The processor's name from Linux, otherwise from Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of those of these packages that are installed; by default those that figures can depend
    on."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
