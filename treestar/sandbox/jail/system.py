"""Linux system calls that Python does not provide, called through the C library."""

from __future__ import annotations

import ctypes
import os

__all__ = ["prctl", "syscall"]

libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *arguments: int) -> int:
    """`prctl(2)`. Raises OSError if the kernel refuses."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return checked(libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)), "prctl")


def syscall(name: str, number: int, *arguments: ctypes.c_void_p | int | None) -> int:
    """The system call `number`; `name` is for the error message. Raises OSError if the kernel refuses."""
    widened = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return checked(libc.syscall(ctypes.c_long(number), *widened), name)


def checked(result: int, name: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
