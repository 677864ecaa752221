"""The system calls that a worker may make; the kernel rejects all others with EPERM."""

from __future__ import annotations

import ctypes
import platform
import struct

from treestar.verifier.sandbox.jail.system import prctl

__all__ = ["ALLOWED", "allow_only_listed_calls", "seccomp_supported"]

X86_64 = {
    "read": 0,
    "write": 1,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "getpid": 39,
    "exit": 60,
    "gettimeofday": 96,
    "getrusage": 98,
    "getuid": 102,
    "getgid": 104,
    "geteuid": 107,
    "getegid": 108,
    "getppid": 110,
    "sigaltstack": 131,
    "gettid": 186,
    "time": 201,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_getres": 229,
    "exit_group": 231,
    "getrandom": 318,
}
AARCH64 = {
    "read": 63,
    "write": 64,
    "exit": 93,
    "exit_group": 94,
    "futex": 98,
    "clock_gettime": 113,
    "clock_getres": 114,
    "sched_yield": 124,
    "restart_syscall": 128,
    "sigaltstack": 132,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "getrusage": 165,
    "gettimeofday": 169,
    "getpid": 172,
    "getppid": 173,
    "getuid": 174,
    "geteuid": 175,
    "getgid": 176,
    "getegid": 177,
    "gettid": 178,
    "brk": 214,
    "munmap": 215,
    "mremap": 216,
    "mmap": 222,
    "mprotect": 226,
    "madvise": 233,
    "getrandom": 278,
}
ARCHITECTURES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
"""The audit constant of linux/audit.h and the numbers of the allowed calls, by machine."""

ALLOWED = frozenset(X86_64)
"""Memory, the clock, signals to the process itself, and one socket. No other file, process, signal or socket calls."""

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
    audit_constant, numbers = ARCHITECTURES[platform.machine()]
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
