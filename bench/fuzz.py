"""Fuzz the two parts of the sandbox that read untrusted input: the step compiler and the frame parser.

    python bench/fuzz.py [compiler] [frames] [--minutes 5] [--seed 0]

compiler: random programs from a grammar, and mutated attacks. The bytecode of an accepted program must not contain an
unguarded attribute, item write or import, and the program must not reach a frame, a real module or the system when it
runs. frames: random and mutated bytes in pieces of any size; they must give objects or a FrameError, and use no more
memory than the limit. Each part runs for `--minutes`, in rounds. The generators and checks are those of the tests
(tests/support/sandbox_fuzzing.py, tests/support/frame_fuzzing.py). Writes bench/results/fuzz.json. Exits with status 1
if anything was found.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import hypothesis
from hypothesis import HealthCheck, given, settings
from support import frame_fuzzing
from support import sandbox_fuzzing as fuzzing

from treestar.sandbox.frames import FrameBuffer, FrameError
from treestar.sandbox.language.warm_up import load_libraries
from treestar.storage.record import write_record

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
ROUND = settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
NESTED = 1_000_000


def fuzz_compiler(counts: Counter[str], seed: int) -> None:
    """One round: raises AssertionError for the smallest program that breaks the rules."""

    @ROUND
    @hypothesis.seed(seed)
    @given(program=fuzzing.PROGRAMS | fuzzing.mutants())
    def check(program: str) -> None:
        counts["programs"] += 1
        code = fuzzing.compiled(program)
        if code is not None:
            counts["accepted and run"] += 1
            broken = fuzzing.breach_of_code(code)
            assert broken is None, broken

    check()


def fuzz_frames(counts: Counter[str], seed: int) -> None:
    """One round: raises AssertionError for the smallest stream that breaks the rules."""

    @ROUND
    @hypothesis.seed(seed)
    @given(data=frame_fuzzing.streams(), sizes=frame_fuzzing.CUTS)
    def check(data: bytes, sizes: list[int]) -> None:
        counts["streams"] += 1
        counts["frames in them"] += len(frame_fuzzing.received(data, sizes)[0])
        frame_fuzzing.check_frames(data, sizes)

    check()
    status = status_of_nested_frame()
    assert status == 0, f"a frame that nests {NESTED} deep ended the process with wait status {status}"


def status_of_nested_frame() -> int:
    """Check that a process with a raised recursion limit, as many programs have, survives a deeply nested frame."""
    child = os.fork()
    if child == 0:
        sys.setrecursionlimit(NESTED)
        body = b"[" * NESTED
        try:
            FrameBuffer().feed(len(body).to_bytes(4, "big") + body)
        except FrameError:
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1]


PARTS: dict[str, Callable[[Counter[str], int], None]] = {"compiler": fuzz_compiler, "frames": fuzz_frames}


def fuzz(part: str, minutes: float, seed: int) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    found = None
    started = time.monotonic()
    while found is None and time.monotonic() - started < minutes * 60:
        try:
            PARTS[part](counts, seed + counts["rounds"])
        except AssertionError as error:
            found = "\n".join([repr(error), *getattr(error, "__notes__", [])])
        counts["rounds"] += 1
    return {"minutes": round((time.monotonic() - started) / 60, 1), **counts, "found": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # With a default, argparse of Python 3.11 compares the whole list with the choices.
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part", help="by default both")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    warnings.simplefilter("ignore")  # the compiler's warnings about nonsensical programs
    figures = json.loads(RESULTS.read_text())["figures"] if RESULTS.exists() else {}
    for part in parts:
        if part == "compiler":
            load_libraries(restricted=True)
        figures[part] = fuzz(part, arguments.minutes, arguments.seed)
    write_record(RESULTS, figures, arguments.seed)
    sys.exit(any(figures[part]["found"] is not None for part in parts))


if __name__ == "__main__":
    main()
