"""`treestar doctor`: versions, devices and backends on this machine, and checks of the sandbox and the grader."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from treestar.cli.components import StepFormatName, StepSeparator
from treestar.cli.recognized import show_policy
from treestar.extras import install_command
from treestar.policy.models import DEFAULT_POLICY, base_to_fetch
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.storage.record import versions as installed_versions
from treestar.types import TreestarError
from treestar.verifier import equivalent

__all__ = ["doctor"]

PACKAGES = ("treestar", "torch", "transformers", "numpy", "sympy", "math-verify", "RestrictedPython", "networkx")

Verdict = Literal["ok", "off", "failed"]
Check = tuple[str, Verdict]

VERDICTS: dict[Verdict, str] = {"ok": "[green]ok[/]    ", "off": "[yellow]off[/]   ", "failed": "[bold red]FAILED[/]"}
"""`off`: not available on this system; the other layers still confine the steps."""

PROBES = (
    ("runs a step", "print(2 + 3)", "5"),
    ("refuses files", "print(open('/etc/hostname').read())", None),
    ("refuses processes", "import os\nos.system('true')", None),
    ("ends an endless step", "while True: pass", None),
    ("ends a step that takes all memory", "x = [0] * 10**11", None),
)
"""Label, step, and the output that it must print (None: it must fail)."""

JAIL_PROBES = (
    ("runs a step", "import os\nprint(os.getpid() > 0)", "True"),
    ("refuses files", "open('/etc/hostname')", None),
    ("refuses processes", "import os\nos.fork()", None),
    ("refuses sockets", "import socket\nsocket.socket()", None),
    ("refuses signals", "import os\nos.kill(os.getppid(), 0)", None),
    ("refuses executable memory", "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_EXEC)", None),
)
"""The same for steps that can use all of Python, so that only the operating system confines them."""


def doctor(
    policy: Annotated[
        str | None, typer.Option(help="Instead, show how this model is prompted: format, prompt, sampling, context.")
    ] = None,
    step_format: StepFormatName = None,
    step_separator: StepSeparator = None,
) -> None:
    """Show versions, devices and backends, and check that the sandbox and the grader work on this machine."""
    for flag, given in (("--step-format", step_format), ("--step-separator", step_separator)):
        if policy is None and given is not None:
            raise typer.BadParameter(f"{flag} is for a model: also give --policy")
    console = Console()
    if policy is not None:
        show_policy(console, policy, step_format, step_separator)
        return
    table = Table.grid(padding=(0, 3))
    for rows in (versions(), devices(), backends()):
        for name, found in rows:
            table.add_row(name, found)
    console.print(table, highlight=False)
    with console.status("checking the sandbox and the grader"):
        checks = [*asyncio.run(sandbox_checks()), grader_check()]
    for name, verdict in checks:
        console.print(VERDICTS[verdict], name, highlight=False, soft_wrap=True)
    if any(verdict == "failed" for _, verdict in checks):
        raise typer.Exit(1)


def versions() -> list[tuple[str, str]]:
    found = installed_versions(PACKAGES)
    return [(name, found.get(name, "not installed")) for name in ("python", *PACKAGES)]


def devices() -> list[tuple[str, str]]:
    import torch

    found = [("cpu", f"{os.cpu_count()} cores, {platform.machine()}, torch uses {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        found.append((f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"))
    return found if len(found) > 1 else [*found, ("cuda", "no device")]


def backends() -> list[tuple[str, str]]:
    missing = base_to_fetch(DEFAULT_POLICY)
    default = "ready" if missing is None else f"treestar models fetch {missing}"
    gym = "ready" if find_spec("reasoning_gym") else install_command("gym")
    openai = "ready: --policy openai:MODEL@URL" if find_spec("openai") else install_command("openai")
    return [
        (f"{DEFAULT_POLICY} policy", default),
        ("Hugging Face policies", "ready: --policy FOLDER or HUB_ID"),
        ("policies behind a server", openai),
        ("reasoning-gym problems", gym),
    ]


async def sandbox_checks() -> list[Check]:
    """The result of every jail layer and every probe."""
    executor = SandboxExecutor(SandboxConfig(seconds=1.0))
    try:
        layers = await executor.layers()
        checks: list[Check] = [
            (f"sandbox layer {name}: {state}", "off" if state.startswith("off") else "ok")
            for name, state in layers.items()
        ]
        checks += await probe("sandbox", executor, PROBES)
    except TreestarError as error:
        return [(f"sandbox starts: {error}", "failed")]
    finally:
        await executor.close()
    jail = SandboxExecutor(SandboxConfig(seconds=1.0, restricted=False))
    try:
        return checks + await probe("the jail alone", jail, JAIL_PROBES)
    finally:
        await jail.close()


async def probe(what: str, executor: SandboxExecutor, probes: Iterable[tuple[str, str, str | None]]) -> list[Check]:
    """Try `probes` on `executor`, which is called `what`."""
    interpreter = await executor.open()
    checks: list[Check] = []
    for name, code, printed in probes:
        execution = await interpreter.run(code, None)
        passed = execution.error is not None if printed is None else execution.output.strip() == printed
        checks.append((f"{what} {name}", "ok" if passed else "failed"))
    await interpreter.close()
    return checks


def grader_check() -> Check:
    right = equivalent(r"\frac{1}{2}", "0.5") and equivalent(r"2\sqrt{2}", r"\sqrt{8}", seconds=10)
    return r"grader knows \frac{1}{2} = 0.5 and 2\sqrt{2} = \sqrt{8}", "ok" if right else "failed"
