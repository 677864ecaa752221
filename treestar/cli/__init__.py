"""The `treestar` command. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOSPC, EPIPE
from io import TextIOWrapper

__all__ = ["main"]

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as shells count it."""

UNWRITABLE = (ENOSPC, EDQUOT, EFBIG)
"""What the system reports if the output of a command goes to a full disk."""


def main() -> None:
    """Run the command; a known failure is printed as one sentence, without a traceback."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        # Imported here because Ctrl-C may come while they load.
        from treestar.types import TreestarError

        replace_unknown_characters()
        try:
            from treestar.cli.commands import app

            try:
                app(prog_name="treestar")
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # Python's own flush at exit could only complain
        except TreestarError as error:
            show_error(str(error))
            sys.exit(1)
        except OSError as error:
            if error.errno != EPIPE:
                show_error(sentence(error))
            discard_output()
            sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def replace_unknown_characters() -> None:
    """Print "?" for a character that the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def sentence(error: OSError) -> str:
    """What the system reported. Raises `error` itself if it is not about a file or the output."""
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if error.errno in UNWRITABLE:
        return f"the output cannot be written: {error.strerror}"
    raise error


def show_error(text: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(text)}", highlight=False)


def discard_output() -> None:
    """Send what is left in the buffer of stdout nowhere, because its reader or its disk takes no more."""
    with suppress(OSError, AttributeError):  # a stdout that is not a file has no buffer to discard
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
