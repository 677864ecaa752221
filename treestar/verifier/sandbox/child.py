"""The process of one execution: it gives up its powers, runs the path of steps, sends its reply and is gone.

It is forked from the zygote, so every library is loaded. It writes to one pipe: the byte `STARTED` when the steps
before are done and the new one begins, then a JSON object with `output` and `error`.
"""

from __future__ import annotations

import builtins
import json
import math
import os
import random
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from treestar.verifier.sandbox.guards import Output, new_namespace
from treestar.verifier.sandbox.hardening import refuse_system_calls
from treestar.verifier.sandbox.language import OWN_MODULE, NotAllowed, compile_step

__all__ = ["STARTED", "Limits", "run_and_exit"]

STARTED = b"s"

_UNPRIVILEGED = 65534
"""The user and group id "nobody"."""
_ERROR_CHARACTERS = 600
_REPLY_DESCRIPTOR = 3
_HIGHEST_DESCRIPTOR = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What the process of one execution may take."""

    address_space: int
    """Bytes; 0 for no limit."""
    seconds: float
    """Wall-clock seconds per step; all steps together may use as much processor time."""
    output: int
    """Characters."""
    set_death_signal: Callable[[], None]
    """Asks the system to kill this process when its parent dies."""


def run_and_exit(path: list[str], code: str, reply: int, limits: Limits) -> None:
    """Run `code` after the steps of `path`, write the reply to the descriptor `reply`, and end the process."""
    status = 1
    try:
        parent = os.getppid()
        os.setsid()
        _keep_only(reply)
        _give_up_powers(limits, len(path) + 1)
        if os.getppid() == parent:  # else the zygote died before the death signal was set
            _write(_run(path, code, Output(limits.output)))
            status = 0
    finally:
        os._exit(status)


def _keep_only(reply: int) -> None:
    """Close every descriptor but the null device on 0 to 2 and the reply pipe."""
    os.dup2(reply, _REPLY_DESCRIPTOR, inheritable=False)
    os.closerange(_REPLY_DESCRIPTOR + 1, _HIGHEST_DESCRIPTOR)
    os.dup2(0, 1)
    os.dup2(0, 2)


def _give_up_powers(limits: Limits, steps: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if os.geteuid() == 0:
        _drop_root()
    limits.set_death_signal()  # after the drop, which clears it
    hard = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _REPLY_DESCRIPTOR + 1,
        resource.RLIMIT_CPU: math.ceil(limits.seconds * steps) + 1,
    }
    if sys.platform == "linux":
        hard[resource.RLIMIT_NPROC] = 0
    if limits.address_space:
        hard[resource.RLIMIT_AS] = limits.address_space
    for limit, value in hard.items():
        resource.setrlimit(limit, (value, value))
    refuse_system_calls()


def _drop_root() -> None:
    try:
        os.setgroups([])
        os.setresgid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
        os.setresuid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
    except (OSError, AttributeError):
        pass  # root without that capability; the other walls stand


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_REPLY_DESCRIPTOR, data) :]


def _run(path: list[str], code: str, output: Output) -> bytes:
    sys.stdout = sys.stderr = output  # sympy's pprint writes there
    sys.modules[OWN_MODULE] = ModuleType(OWN_MODULE)
    random.seed(0)  # a fork seeds it anew
    namespace = new_namespace(output)
    error = None
    for number, source in enumerate(path, 1):
        error = error or _execute(source, f"<step {number}>", namespace, show=False)
    if error is not None:
        error = f"an earlier step failed when it was run again: {error}"
    output.clear()
    _write(STARTED)
    if error is None:
        error = _execute(code, "<step>", namespace, show=True)
    reply = {"output": _without_addresses(output.text()), "error": error}
    return json.dumps(reply).encode("ascii")


def _execute(source: str, filename: str, namespace: dict[str, Any], show: bool) -> str | None:
    """Run one step. Its failure comes back as the sentence the model sees."""
    try:
        builtins.exec(compile_step(source, filename, show), namespace)
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too: the step may raise what it likes
        return _describe(error, source, filename)
    return None


def _describe(error: BaseException, source: str, filename: str) -> str:
    """`ZeroDivisionError: division by zero (line 2: `x = 1 / 0`)`, the line being one of the step's own."""
    name = "NotAllowed" if isinstance(error, NotAllowed) else type(error).__name__
    line = _line_of(error, filename)
    lines = source.split("\n")
    where = f" (line {line}: `{lines[line - 1].strip()[:120]}`)" if line and line <= len(lines) else ""
    message = _without_addresses(_message(error))
    if len(message) > _ERROR_CHARACTERS:
        message = message[:_ERROR_CHARACTERS] + "..."
    return f"{name}: {message}{where}" if message else f"{name}{where}"


def _line_of(error: BaseException, filename: str) -> int | None:
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    if line is None and isinstance(error, SyntaxError):  # the step was not run at all: compiling it failed
        return error.lineno
    if line is None and isinstance(error, NotAllowed):
        return error.line
    return line


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    try:
        return str(error)
    except BaseException:
        return ""


def _without_addresses(text: str) -> str:
    """`text` with memory addresses blanked: they differ from run to run, and a step's result may not."""
    return re.sub(r"\bat 0x[0-9a-f]+", "at 0x0", text) if "at 0x" in text else text
