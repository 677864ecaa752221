"""`treestar exec`: run the steps of a file as a search would, and show the result of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from treestar.cli.options import EXECUTION, config_from_options, with_config_options
from treestar.cli.show import code_view
from treestar.policy.formats import END_OF_STEP
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.storage.lines import text_lines
from treestar.types import Execution, Snapshot, TreestarError

__all__ = ["execute"]


@with_config_options(SandboxConfig, without=("concurrency", "workers"), group=EXECUTION, own_group="Output")
def execute(
    file: Annotated[Path, typer.Argument(help=f"Python steps, separated by lines that contain only {END_OF_STEP}.")],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per step to stdout.")] = False,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Run a file's steps in the sandbox, each in the state left by the previous one. Stop at the first failure.

    The exit code is 1 if a step failed.
    """
    config = config_from_options(SandboxConfig, "exec", options)
    console = Console()

    def show(number: int, code: str, execution: Execution) -> None:
        if json_:
            print(json.dumps({"step": number, "code": code, **step_result(execution)}), flush=True)
        else:
            console.print(step_view(number, code, execution))

    if not asyncio.run(run_steps(read_steps(file), config, show)):
        raise typer.Exit(1)


def read_steps(file: Path) -> list[str]:
    """The code of each step in `file`. Raises TreestarError if it cannot be read, or has no step."""
    steps: list[list[str]] = [[]]
    for line in text_lines(file):
        if line.strip() == END_OF_STEP:
            steps.append([])
        else:
            steps[-1].append(line)
    codes = [code for code in ("\n".join(step).strip("\n") for step in steps) if code.strip()]
    if not codes:
        raise TreestarError(f"{file} has no step")
    return codes


async def run_steps(steps: Sequence[str], config: SandboxConfig, show: Callable[[int, str, Execution], None]) -> bool:
    """Run and show `steps` in order, up to and including the first that fails. False if one failed."""
    executor = SandboxExecutor(config)
    try:
        interpreter = await executor.open()
        snapshot: Snapshot | None = None
        for number, code in enumerate(steps, start=1):
            execution = await interpreter.run(code, snapshot)
            show(number, code, execution)
            if execution.error is not None:
                return False
            snapshot = execution.snapshot
        return True
    finally:
        await executor.close()


def step_result(execution: Execution) -> dict[str, Any]:
    return {
        "output": execution.output,
        "error": execution.error,
        "seconds": execution.seconds,
        "peak_memory": execution.peak_memory,
    }


def step_view(number: int, code: str, execution: Execution) -> RenderableType:
    cost = f"{execution.seconds * 1000:.2f} ms, {execution.peak_memory / 2**20:.1f} MiB"
    parts: list[RenderableType] = [Text(f"step {number}  {cost}", style="dim")]
    parts.append(code_view(code))
    if execution.output:
        parts.append(Text(execution.output.rstrip("\n"), style="cyan"))
    if execution.error is not None:
        parts.append(Text(execution.error, style="bold red"))
    return Group(*parts)
