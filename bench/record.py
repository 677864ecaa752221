"""Writes what a bench script measured to bench/results/NAME.json, with what is needed to repeat it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "treestar",
    "torch",
    "transformers",
    "sympy",
    "math-verify",
    "RestrictedPython",
    "treequest",
    "reasoning-gym",
)


def write_record(name: str, figures: dict[str, Any], seed: int) -> None:
    """Write and print `figures` with machine, versions, command, seed and date."""
    record = {
        "name": name,
        "date": date.today().isoformat(),
        "command": shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "seed": seed,
        "machine": machine(),
        "versions": versions(),
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


def machine() -> dict[str, Any]:
    return {"platform": platform.platform(), "processor": processor(), "cpus": os.cpu_count()}


def processor() -> str:
    """The processor's name: what Linux says, or else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
