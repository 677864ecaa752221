"""Starts a module in one or several processes with a launcher such as `accelerate launch` or `torchrun`."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from treestar.types import TreestarError

__all__ = ["launch"]


def launch(launcher: str, module: str, arguments: Sequence[str], held: Sequence[int] = ()) -> None:
    """Run `LAUNCHER -m MODULE ARGUMENTS` and wait until it has ended.

    Args:
        launcher: a command line, split as a shell does, for example `accelerate launch --num_processes 8`.
        held: file descriptors that the started processes inherit. A lock on one of them is held while they live, even
            if this process is killed.

    Raises:
        TreestarError: the launcher cannot be started, or its exit code was not 0.
    """
    command = [*shlex.split(launcher), "-m", module, *arguments]
    try:
        code = subprocess.run(command, pass_fds=held).returncode
    except OSError as error:
        raise TreestarError(f"the launcher {launcher!r} cannot be started: {error.strerror}") from error
    if code != 0:
        raise TreestarError(f"the training started by {shlex.join(command)} failed with exit code {code}")
