"""A training job that is killed, as by a machine that goes down."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from treestar.training.checkpoints import last_checkpoint

__all__ = ["kill_after_a_checkpoint"]


def kill_after_a_checkpoint(command: Sequence[str], out: Path) -> None:
    """Run `command`, and kill it once there is a checkpoint in `out`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while last_checkpoint(out) is None:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
