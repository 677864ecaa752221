"""A step's failure as shown to the model: the type, the message, and the line of the step's code."""

from __future__ import annotations

import re

from treestar.sandbox.language.compiler import NotAllowed

__all__ = ["describe", "without_addresses"]

ERROR_CHARACTERS = 600


def describe(error: BaseException, source: str, filename: str) -> str:
    """`ZeroDivisionError: division by zero (line 2: `x = 1 / 0`)`, with a line of the step's own code."""
    name = "NotAllowed" if isinstance(error, NotAllowed) else type(error).__name__
    line = line_of(error, filename)
    lines = source.split("\n")
    where = f" (line {line}: `{lines[line - 1].strip()[:120]}`)" if line and line <= len(lines) else ""
    message = without_addresses(message_of(error))
    if len(message) > ERROR_CHARACTERS:
        message = message[:ERROR_CHARACTERS] + "..."
    return f"{name}: {message}{where}" if message else f"{name}{where}"


def line_of(error: BaseException, filename: str) -> int | None:
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    if line is None and isinstance(error, SyntaxError):  # the step did not run: compiling it failed
        return error.lineno
    if line is None and isinstance(error, NotAllowed):
        return error.line
    return line


def message_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    try:
        return str(error)
    except BaseException:
        return ""


def without_addresses(text: str) -> str:
    """`text` with memory addresses masked: they differ between runs, but a step's result must not."""
    return re.sub(r"\bat 0x[0-9a-f]+", "at 0x0", text) if "at 0x" in text else text
