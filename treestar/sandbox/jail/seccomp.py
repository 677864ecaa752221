"""The system calls that a worker may make; the kernel rejects all others with EPERM."""

from __future__ import annotations

import ctypes
import platform
import struct

from treestar.sandbox.jail.system import prctl

__all__ = ["ALLOWED", "allow_only_listed_calls", "seccomp_supported"]

CALLS: dict[str, tuple[int, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
"""The system calls that are allowed, with their numbers on x86_64 and aarch64; None where there is no such call.

Memory, the clock, signals to the process itself, and one socket. No other file, process, signal or socket calls.
"""
ALLOWED = frozenset(CALLS)
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""The audit constant of linux/audit.h and the place of the numbers in `CALLS`, by machine."""

ONLY_ON_DESCRIPTOR = ("read", "write")
NEVER_EXECUTABLE = ("mmap", "mprotect")

LOAD, JUMP_IF_EQUAL, JUMP_IF_GREATER_OR_EQUAL, JUMP_IF_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL_PROCESS, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # EPERM
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; arguments are 8 bytes each
X32_CALLS = 0x40000000
EXECUTABLE = 4

PR_GET_SECCOMP, PR_SET_SECCOMP, FILTER_MODE = 21, 22, 2


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def seccomp_supported() -> str | None:
    """None if the filter can be installed, else the reason why not."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return f"the list of system calls does not cover {machine} machines, only {', '.join(ARCHITECTURES)}"
    try:
        prctl(PR_GET_SECCOMP)
    except OSError as error:
        return f"the kernel does not support seccomp ({error.strerror})"
    return None


def allow_only_listed_calls(descriptor: int) -> None:
    """Restrict this process to the system calls in `ALLOWED`. This cannot be undone.

    `read` and `write` work only on `descriptor`, and memory can never be made executable. Needs no_new_privs.

    Raises:
        OSError: the kernel refuses.
    """
    audit_constant, place = ARCHITECTURES[platform.machine()]
    numbers = {name: number for name, by_machine in CALLS.items() if (number := by_machine[place]) is not None}
    instructions = filter_program(audit_constant, numbers, descriptor)
    program = Program(len(instructions), b"".join(instructions))
    prctl(PR_SET_SECCOMP, FILTER_MODE, ctypes.addressof(program))


def filter_program(audit_constant: int, numbers: dict[str, int], descriptor: int) -> list[bytes]:
    """The filter as a classic BPF program: a sequence of tests; the first one that applies decides."""
    program = [
        instruction(LOAD, ARCHITECTURE),
        instruction(JUMP_IF_EQUAL, audit_constant, then=1),
        instruction(RETURN, KILL_PROCESS),
        instruction(LOAD, NUMBER),
        instruction(JUMP_IF_GREATER_OR_EQUAL, X32_CALLS, otherwise=1),
        instruction(RETURN, REFUSE),
    ]
    for name, number in numbers.items():
        if name in ONLY_ON_DESCRIPTOR:
            test = [
                instruction(LOAD, FIRST_ARGUMENT),
                instruction(JUMP_IF_EQUAL, descriptor, then=1),
                instruction(RETURN, REFUSE),
                instruction(RETURN, ALLOW),
            ]
        elif name in NEVER_EXECUTABLE:
            test = [
                instruction(LOAD, FIRST_ARGUMENT + 2 * 8),
                instruction(JUMP_IF_ANY_BIT, EXECUTABLE, otherwise=1),
                instruction(RETURN, REFUSE),
                instruction(RETURN, ALLOW),
            ]
        else:
            test = [instruction(RETURN, ALLOW)]
        program += [instruction(JUMP_IF_EQUAL, number, otherwise=len(test)), *test]
    return [*program, instruction(RETURN, REFUSE)]


def instruction(code: int, operand: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One `struct sock_filter`; `then` and `otherwise` are the numbers of instructions to skip."""
    return struct.pack("=HBBI", code, then, otherwise, operand)
