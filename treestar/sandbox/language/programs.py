"""What a whole program has besides what a step has: standard input and output, `exit`, and these through `sys`.

A program reads an in-memory text and prints to the output of its run. It is written in the language of steps.
"""

from __future__ import annotations

import builtins
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Generic, TypeVar

from treestar.sandbox.language.compiler import NotAllowed
from treestar.sandbox.language.guards import Output, import_guards
from treestar.sandbox.language.modules import Facade, import_module, import_star

__all__ = ["StandardInput", "ended_well", "program_builtins", "replaced_streams"]

TextT = TypeVar("TextT", str, bytes)


class StandardInput(Generic[TextT]):
    """A stream to read from, with nothing that leads elsewhere. `buffer` is the same text from its beginning, as bytes.

    Args:
        content: an in-memory stream.
        buffer: what `sys.stdin.buffer` is.
    """

    __slots__ = ("_content", "buffer")

    def __init__(self, content: io.StringIO | io.BytesIO, buffer: StandardInput[bytes] | None = None) -> None:
        if type(content) not in (io.StringIO, io.BytesIO):  # a program can reach this class
            raise NotAllowed("a standard input may not be made in a program")
        self._content: Any = content
        self.buffer = buffer

    def read(self, size: int | None = -1) -> TextT:
        """At most `size` characters, or all that are left."""
        found: TextT = self._content.read(size)
        return found

    def readline(self, size: int | None = -1) -> TextT:
        """The next line with its line break; empty at the end."""
        found: TextT = self._content.readline(size)
        return found

    def readlines(self, hint: int | None = -1) -> list[TextT]:
        """All lines that are left."""
        found: list[TextT] = self._content.readlines(hint)
        return found

    def __iter__(self) -> Iterator[TextT]:
        return self

    def __enter__(self) -> StandardInput[TextT]:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: a text in memory needs no closing."""

    def __next__(self) -> TextT:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class StandardOutput:
    """A stream to write to. `buffer` takes bytes."""

    __slots__ = ("_output", "buffer")

    def __init__(self, output: Output | None, buffer: StandardOutput | None = None) -> None:
        if output is not None and type(output) is not Output:
            raise NotAllowed("a standard output may not be made in a program")
        self._output = output
        self.buffer = buffer

    def write(self, text: str | bytes) -> int:
        """Print `text`; a stream without an output drops it."""
        if self._output is not None:
            self._output.write(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Print each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: output is not buffered."""


def standard_input(text: str) -> StandardInput[str]:
    return StandardInput(io.StringIO(text), StandardInput(io.BytesIO(text.encode("utf-8", "surrogatepass"))))


def standard_output(output: Output | None) -> StandardOutput:
    return StandardOutput(output, StandardOutput(output))


def program_builtins(
    steps: dict[str, Any], output: Output, namespace: Callable[[], dict[str, Any]], text: str
) -> dict[str, Any]:
    """The `__builtins__` of a program in the language of steps.

    Args:
        steps: those of a step.
        output: takes what the program prints.
        namespace: returns the program's globals, for star imports.
        text: its standard input.
    """
    stdin, stdout, stderr = standard_input(text), standard_output(output), standard_output(None)
    module = program_sys(stdin, stdout, stderr)

    def print(
        *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        del flush
        if file is not None and not isinstance(file, StandardOutput):
            raise NotAllowed("'print' may write to sys.stdout and sys.stderr only")
        builtins.print(*values, sep=sep, end=end, file=stdout if file is None else file)

    def input(prompt: Any = "") -> str:
        stdout.write(str(prompt))
        line = stdin.readline()
        if not line:
            raise EOFError("EOF when reading a line")
        return line.removesuffix("\n")

    def open(file: Any, mode: str = "r", *_: Any, **__: Any) -> Any:
        if file != 0 or mode not in ("r", "rb"):
            raise NotAllowed("'open' may open 0, the standard input, only")
        return stdin if mode == "r" else stdin.buffer

    def import_part(name: str) -> ModuleType:
        return module if name == "sys" else import_module(name)

    def import_all(name: str) -> None:
        namespace().update(vars(module) if name == "sys" else import_star(name))

    return {
        **steps,
        "print": print,
        "input": input,
        "open": open,
        "exit": end_program,
        "quit": end_program,
        **import_guards(import_part),
        "_import_star_": import_all,
    }


def program_sys(stdin: StandardInput[str], stdout: StandardOutput, stderr: StandardOutput) -> ModuleType:
    """`sys` as a program sees it: what steps have, the streams, and `exit`."""
    module = Facade("sys")
    for name, value in vars(import_module("sys")).items():
        if not name.startswith("_"):
            setattr(module, name, value)
    added = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "exit": end_program, "argv": ["program.py"]}
    for name, value in added.items():
        setattr(module, name, value)
    return module


def end_program(status: Any = None) -> None:
    raise SystemExit(status)


def ended_well(failure: BaseException | None) -> bool:
    """Whether a program that ended with this exception, or None, succeeded: `sys.exit()` ends one too."""
    return failure is None or (isinstance(failure, SystemExit) and failure.code in (None, 0))


@contextmanager
def replaced_streams(text: str) -> Iterator[None]:
    """The process's own standard input and error replaced, for programs that may use all of Python. What they print
    goes to `sys.stdout` already."""
    before = sys.stdin, sys.stderr
    sys.stdin, sys.stderr = standard_input(text), standard_output(None)
    try:
        yield
    finally:
        sys.stdin, sys.stderr = before
