"""How steps are isolated, and what one executed step may take: time, memory, output."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from treestar.config.checks import check_choice, check_number, check_whole

__all__ = ["Isolation", "SandboxConfig"]

Isolation = Literal["full", "process"]


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def affordable_workers() -> int:
    """As many workers as half of this machine's memory holds when each takes 128 MiB, a lot for the steps of a tree."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(256, memory // 2 // (128 * 2**20)))


@dataclass(frozen=True)
class SandboxConfig:
    """How steps are isolated, and the limits under which they run.

    Raises:
        ValueError: a limit is not a finite positive number, `isolation` is no kind of isolation, or nothing is left
            that would hold a step back.
    """

    isolation: Isolation = "full"
    """`full`: steps run behind namespaces, an unprivileged user, landlock, seccomp and resource limits, or not at all.
    `process`: for systems without landlock or seccomp. Steps run in processes of their own with resource limits, and
    RestrictedPython is then the only thing between a step and your files, your network and your processes."""
    restricted: bool = True
    """Whether steps are confined to the language of RestrictedPython. Without it the jail stands alone."""
    seconds: float = 5.0
    """Wall-clock seconds one step may run, the steps before it not counted. Then its process is killed."""
    memory_mb: int = 512
    """Mebibytes of address space a tree's process may add to what the loaded libraries already take."""
    output_limit: int = 64 * 1024
    """Characters of printed output that are kept. What comes after is cut and the cut is marked."""
    code_limit: int = 64 * 1024
    """Characters of code in one step. A longer step is refused."""
    concurrency: int = field(default_factory=lambda: available_cores() + 2)
    """Steps that run at the same time; more of them wait. By default two more than the cores this process may use, so
    that no core waits while a result is on its way to the engine."""
    workers: int = field(default_factory=affordable_workers)
    """Trees that keep a process at the same time. Of more, the one unused for longest loses its process, and gets
    another when it runs its next step. Never less than `concurrency`; by default what half of the memory holds at
    128 MiB each. Fewer than the trees that are searched at a time cost a fork and a path run again now and then."""
    start_seconds: float = 120.0
    """Seconds the sandbox may take to start, which is mostly importing sympy. Then starting it counts as failed."""

    def __post_init__(self) -> None:
        check_choice(self, "isolation")
        if self.isolation == "process" and not self.restricted:
            raise ValueError(
                "SandboxConfig(isolation='process', restricted=False) would leave nothing between a step and this "
                "machine: choose one of the two"
            )
        check_number(self, "seconds", "start_seconds", above=0)
        check_whole(self, "memory_mb", "output_limit", "code_limit", "concurrency", "workers")
