"""What one executed step may take: time, memory, output."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

__all__ = ["SandboxConfig"]


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class SandboxConfig:
    """The limits under which steps are executed.

    Raises:
        ValueError: a limit is not a finite positive number.
    """

    seconds: float = 5.0
    """Wall-clock seconds one step may run, the steps before it not counted. Then its process is killed."""
    memory_mb: int = 512
    """Mebibytes of address space a step may add to what the loaded libraries already take."""
    output_limit: int = 64 * 1024
    """Characters of printed output that are kept. What comes after is cut and the cut is marked."""
    code_limit: int = 64 * 1024
    """Characters of code in one step. A longer step is refused."""
    concurrency: int = field(default_factory=_available_cores)
    """Steps that run at the same time; more of them wait. By default the cores this process may use."""
    start_seconds: float = 120.0
    """Seconds the sandbox may take to start, which is mostly importing sympy. Then starting it counts as failed."""

    def __post_init__(self) -> None:
        for name in ("seconds", "start_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"SandboxConfig.{name} must be a number of seconds, not {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"SandboxConfig.{name} must be a finite number of seconds above 0, not {value!r}")
        for name in ("memory_mb", "output_limit", "code_limit", "concurrency"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"SandboxConfig.{name} must be a whole number of at least 1, not {value!r}")
