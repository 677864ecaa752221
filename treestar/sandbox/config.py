"""How steps are isolated, and the limits of one executed step: time, memory, output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from treestar.config.checks import check_choice, check_number, check_whole
from treestar.machine import available_cores, available_memory

__all__ = ["Isolation", "SandboxConfig"]

Isolation = Literal["full", "process"]


def affordable_workers() -> int:
    """The number of workers that fit in half of the memory at 128 MiB each, which is ample for one tree."""
    return max(1, min(256, available_memory() // 2 // (128 * 2**20)))


@dataclass(frozen=True)
class SandboxConfig:
    """How steps are isolated, and the limits under which they run.

    Raises:
        ValueError: a limit is not a finite positive number, `isolation` is unknown, or all protection is turned off.
    """

    isolation: Isolation = "full"
    """`full`: steps run behind namespaces, an unprivileged user, landlock, seccomp and resource limits, or not at all.
    `process`: for systems without landlock or seccomp. Steps run in separate processes with resource limits, and only
    RestrictedPython protects your files, your network and your processes from a step."""
    restricted: bool = True
    """Whether steps are restricted to the language of RestrictedPython. If False, the jail is the only protection."""
    seconds: float = 5.0
    """Wall-clock seconds one step may run, not counting earlier steps. After that its process is killed."""
    memory_mb: int = 512
    """Mebibytes of address space a tree's process may use beyond the loaded libraries."""
    output_limit: int = 64 * 1024
    """Maximum characters of printed output. The rest is cut, and the cut is marked."""
    code_limit: int = 64 * 1024
    """Maximum characters of code in one step. A longer step is refused."""
    concurrency: int = field(default_factory=lambda: available_cores() + 2)
    """Maximum number of steps that run at the same time; others wait. By default two more than the cores this process
    may use, so that no core is idle while a result travels to the engine."""
    workers: int = field(default_factory=affordable_workers)
    """Maximum number of trees that keep a process. Beyond it, the least recently used tree loses its process and gets a
    new one for its next step. Never less than `concurrency`; by default the number that fits in half of the memory at
    128 MiB each. If more trees are searched at a time, some steps cost a fork and a rerun of their path."""
    start_seconds: float = 120.0
    """Seconds the sandbox may take to start, most of which is importing sympy. After that the start has failed."""

    def __post_init__(self) -> None:
        check_choice(self, "isolation")
        if self.isolation == "process" and not self.restricted:
            raise ValueError(
                "SandboxConfig(isolation='process', restricted=False) would leave nothing between a step and this "
                "machine: choose one of the two"
            )
        check_number(self, "seconds", "start_seconds", above=0)
        check_whole(self, "memory_mb", "output_limit", "code_limit", "concurrency", "workers")
