"""Gives up what a process may do: namespaces, user, capabilities, new privileges, resources.

Every function here is one layer. Those that a kernel or a container may not offer return how it went instead of
raising, because the layers below them hold without them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

from treestar.verifier.sandbox.jail.system import prctl, syscall

__all__ = ["cap_resources", "die_with_parent", "drop_user", "forbid_new_privileges", "leave_namespaces"]

_UNPRIVILEGED = 65534
"""The user and group id "nobody"."""

_NEW_USER, _NEW_UTS, _NEW_IPC, _NEW_NETWORK = 0x10000000, 0x04000000, 0x08000000, 0x40000000
_UNSHARE = {"x86_64": 272, "aarch64": 97}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


def leave_namespaces() -> str:
    """Move to a network, IPC and host-name namespace of one's own, in which there is nothing.

    An ordinary user needs a user namespace for this, in which it becomes "nobody".

    Returns:
        How it went, in words; it starts with "off" where the system does not allow it.
    """
    machine = os.uname().machine
    wanted = _NEW_NETWORK | _NEW_IPC | _NEW_UTS
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            syscall("unshare", _UNSHARE[machine], wanted)
            return "own network, IPC and host name"
        prctl(_PR_SET_DUMPABLE, 1)  # else the files below belong to root
        syscall("unshare", _UNSHARE[machine], wanted | _NEW_USER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{_UNPRIVILEGED} {user} 1")
        _write("/proc/self/gid_map", f"{_UNPRIVILEGED} {group} 1")
    except OSError as error:
        return f"off: this system does not allow them ({error.strerror})"
    return "own user, network, IPC and host name"


def drop_user() -> str:
    """Become "nobody" where this process is root, and give up every capability. Returns how it went, in words."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
            os.setresuid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
        except OSError as error:
            return f"off: root may not change its user here ({error.strerror})"
    if sys.platform == "linux":
        _drop_capabilities()
    return f"user {os.geteuid()}, no capabilities"


def forbid_new_privileges() -> str:
    """No program that this process might start gains anything; nobody may read its memory. Raises OSError."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    prctl(_PR_SET_DUMPABLE, 0)
    return "set"


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent` dies; it must be the parent. A change of user clears it. Linux only."""
    if sys.platform == "linux":
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before
        os._exit(1)


def cap_resources(address_space: int, descriptors: int, cpu_seconds: int) -> str:
    """Limit memory (bytes of address space; 0 for no limit), descriptors and processor time; allow no processes."""
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
        with contextlib.suppress(ValueError):  # it is lower already
            resource.setrlimit(limit, (value, value))
    return "memory, processor time, descriptors; no files, processes, core dumps"


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    syscall("capset", _CAPSET[os.uname().machine], ctypes.addressof(header), ctypes.addressof(nothing))
