"""`treestar doctor`: what is installed here, what this machine has, and what can therefore run."""

from __future__ import annotations

import asyncio
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import typer
from rich.console import Console
from rich.table import Table

from treestar.policy.embedded import MODEL_PATH
from treestar.types import TreestarError
from treestar.verifier import equivalent
from treestar.verifier.sandbox import SandboxConfig, SandboxExecutor

__all__ = ["doctor"]

PACKAGES = ("treestar", "torch", "transformers", "numpy", "sympy", "math-verify", "RestrictedPython", "networkx")

PROBES = (
    ("runs a step", "print(2 + 3)", "5"),
    ("refuses files", "print(open('/etc/hostname').read())", None),
    ("refuses processes", "import os\nos.system('true')", None),
    ("ends an endless step", "while True: pass", None),
    ("ends a step that takes all memory", "x = [0] * 10**11", None),
)
"""What is tried, the step, and what it must print (None: it must fail)."""


def doctor() -> None:
    """Show versions, devices, backends, and whether the sandbox and the grader do their work here."""
    console = Console()
    table = Table.grid(padding=(0, 3))
    for rows in (versions(), devices(), backends()):
        for name, found in rows:
            table.add_row(name, found)
    console.print(table, highlight=False)
    with console.status("trying the sandbox and the grader"):
        checks = [*asyncio.run(sandbox_checks()), grader_check()]
    for name, passed in checks:
        console.print("[green]ok[/]    " if passed else "[bold red]FAILED[/]", name, highlight=False)
    if not all(passed for _, passed in checks):
        raise typer.Exit(1)


def versions() -> list[tuple[str, str]]:
    return [("python", platform.python_version()), *((name, installed(name)) for name in PACKAGES)]


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def devices() -> list[tuple[str, str]]:
    import torch

    found = [("cpu", f"{os.cpu_count()} cores, {platform.machine()}, torch uses {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        found.append((f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"))
    return found if len(found) > 1 else [*found, ("cuda", "no device")]


def backends() -> list[tuple[str, str]]:
    embedded = (
        "ready" if (MODEL_PATH / "model.safetensors").is_file() else "its weights are missing: reinstall treestar"
    )
    gym = "ready" if find_spec("reasoning_gym") else "pip install 'treestar[gym]'"
    return [
        ("embedded policy", embedded),
        ("Hugging Face policies", "ready: --policy FOLDER or HUB_ID"),
        ("reasoning-gym problems", gym),
    ]


async def sandbox_checks() -> list[tuple[str, bool]]:
    """Every probe, and whether it went as it must."""
    executor = SandboxExecutor(SandboxConfig(seconds=1.0))
    try:
        interpreter = await executor.open()
        results = []
        for name, code, printed in PROBES:
            execution = await interpreter.run(code, None)
            passed = execution.error is not None if printed is None else execution.output.strip() == printed
            results.append((f"sandbox {name}", passed))
        await interpreter.close()
    except TreestarError as error:
        return [(f"sandbox starts: {error}", False)]
    finally:
        await executor.close()
    return results


def grader_check() -> tuple[str, bool]:
    return r"grader knows \frac{1}{2} = 0.5 and 2\sqrt{2} = \sqrt{8}", equivalent(r"\frac{1}{2}", "0.5") and equivalent(
        r"2\sqrt{2}", r"\sqrt{8}", seconds=10
    )
