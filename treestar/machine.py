"""What this process may use of the machine it runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_cores", "available_memory"]

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """The processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Bytes: the main memory, or less where a control group, such as a container's, allows less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own_groups = Path("/proc/self/cgroup")
    groups = own_groups.read_text() if own_groups.exists() else ""
    return min([physical, *memory_limits(groups, CONTROL_GROUPS)])


def memory_limits(groups: str, mounted: Path) -> Iterator[int]:
    """The limits of a process's control groups and of those that contain them, in bytes.

    Args:
        groups: its /proc/PID/cgroup. A container can show paths of the host there; then the root is its own group.
        mounted: the folder of all control groups.
    """
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            file = folder / name
            if folder.is_relative_to(root) and file.exists() and (limit := file.read_text().strip()).isdigit():
                yield int(limit)
