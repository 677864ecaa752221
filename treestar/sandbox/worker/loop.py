"""The worker's end of the protocol with the engine: one answer per request, until the engine closes the connection.

It sends `{"ready": {layer: status}}` once. A request is `{"id", "node", "parent", "code", "path"}`: run `code` in the
state after run `parent` (null: none), as run `node`; `path` has `[node, parent, code]` for each ancestor that this
worker does not know. With `input`, `code` is a whole program and `input` its standard input. The answer is the fields
of an `Outcome` with `{"id", "memory"}`. If runs must be repeated first, `{"id", "replaying": count}` and `{"id",
"replaying": 0}` come before it, so that the engine does not count their time as time of the new code.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import asdict

from treestar.sandbox.frames import Frame, FrameBuffer, encode
from treestar.sandbox.language.hardening import refuse_system_calls
from treestar.sandbox.worker.interpreter import Interpreter, Outcome

__all__ = ["serve"]

READ_SIZE = 1 << 16
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def serve(descriptor: int, layers: dict[str, str], output_limit: int, restricted: bool) -> None:
    """Serve requests over the socket `descriptor` until the engine closes its end."""
    interpreter = Interpreter(output_limit, restricted)
    if restricted:
        refuse_system_calls()
        layers = {**layers, "language": "RestrictedPython, guarded modules, audit hook"}
    else:
        layers = {**layers, "language": "off: restricted=False was chosen"}
    base_memory = peak_memory()
    frames = FrameBuffer()
    send(descriptor, {"ready": layers})
    while received := os.read(descriptor, READ_SIZE):
        for request in frames.feed(received):
            outcome = run(interpreter, request, descriptor)
            memory = max(0, peak_memory() - base_memory)
            send(descriptor, {"id": request["id"], **asdict(outcome), "memory": memory})


def run(interpreter: Interpreter, request: Frame, descriptor: int) -> Outcome:
    if "input" in request:
        return interpreter.run_program(request["code"], request["input"])
    try:
        for node, parent, code in request["path"]:
            interpreter.learn(node, parent, code)
    except (MemoryError, RecursionError):
        return Outcome("", "an earlier step could not be compiled again", 0.0, doubtful=True)
    return interpreter.run(
        request["node"],
        request["parent"],
        request["code"],
        lambda runs: send(descriptor, {"id": request["id"], "replaying": runs}),
    )


def send(descriptor: int, frame: Frame) -> None:
    data = encode(frame)
    while data:
        data = data[os.write(descriptor, data) :]


def peak_memory() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
