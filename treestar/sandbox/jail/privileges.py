"""Drops the privileges of a process: namespaces, user, capabilities, new privileges, resources.

Each function is one layer. Layers that a kernel or container may not offer return their status instead of raising,
because the other layers work without them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

from treestar.sandbox.jail.system import prctl, syscall

__all__ = ["cap_resources", "die_with_parent", "drop_user", "forbid_new_privileges", "leave_namespaces"]

UNPRIVILEGED = 65534
"""The user and group id of "nobody"."""

NEW_USER, NEW_UTS, NEW_IPC, NEW_NETWORK = 0x10000000, 0x04000000, 0x08000000, 0x40000000
UNSHARE = {"x86_64": 272, "aarch64": 97}
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION_3 = 0x20080522
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38


def leave_namespaces() -> str:
    """Move to separate, empty network, IPC and host-name namespaces.

    A process that is not root needs a user namespace for this, in which it becomes "nobody".

    Returns:
        The status as text; it starts with "off" if the system does not allow it.
    """
    machine = os.uname().machine
    wanted = NEW_NETWORK | NEW_IPC | NEW_UTS
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            syscall("unshare", UNSHARE[machine], wanted)
            return "own network, IPC and host name"
        prctl(PR_SET_DUMPABLE, 1)  # otherwise the files below belong to root
        syscall("unshare", UNSHARE[machine], wanted | NEW_USER)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{UNPRIVILEGED} {user} 1")
        write("/proc/self/gid_map", f"{UNPRIVILEGED} {group} 1")
    except OSError as error:
        return f"off: this system does not allow them ({error.strerror})"
    return "own user, network, IPC and host name"


def drop_user() -> str:
    """Become "nobody" if this process is root, and drop all capabilities. Returns the status as text."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
            os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        except OSError as error:
            return f"off: root may not change its user here ({error.strerror})"
    if sys.platform == "linux":
        drop_capabilities()
    return f"user {os.geteuid()}, no capabilities"


def forbid_new_privileges() -> str:
    """Programs that this process starts gain no privileges, and no process may read its memory. Raises OSError."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    return "set"


def die_with_parent(parent: int) -> None:
    """Kill this process when its parent, the process `parent`, dies. A change of user clears this. Linux only."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it has already died
        os._exit(1)


def cap_resources(address_space: int, descriptors: int, cpu_seconds: int) -> str:
    """Limit memory (bytes of address space; 0 for no limit), descriptors and processor time; forbid new processes."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: descriptors,
        resource.RLIMIT_CPU: cpu_seconds,
    }
    if sys.platform == "linux":
        limits[resource.RLIMIT_NPROC] = 0
        limits[resource.RLIMIT_MEMLOCK] = 0
    if address_space:
        limits[resource.RLIMIT_AS] = address_space
    for limit, value in limits.items():
        with contextlib.suppress(ValueError):  # it is already lower
            resource.setrlimit(limit, (value, value))
    return "memory, processor time, descriptors; no files, processes, core dumps"


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    syscall("capset", CAPSET[os.uname().machine], ctypes.addressof(header), ctypes.addressof(nothing))
