"""Landlock without any rules: the process can no longer open files or use TCP sockets, whatever its user."""

from __future__ import annotations

import ctypes

from treestar.sandbox.jail.system import syscall

__all__ = ["forbid_files", "landlock_version"]

CREATE_RULESET = 444  # the same number on every architecture
RESTRICT_SELF = 446
ASK_VERSION = 1


class Attributes(ctypes.Structure):
    """`struct landlock_ruleset_attr` of linux/landlock.h: what is forbidden unless a rule allows it."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def landlock_version() -> int:
    """This kernel's landlock version, at least 1. Raises OSError if the kernel does not support landlock."""
    return syscall("landlock_create_ruleset", CREATE_RULESET, None, 0, ASK_VERSION)


def forbid_files() -> int:
    """Forbid this process everything that the kernel's landlock can forbid. Needs no_new_privs. Returns the version.

    Raises:
        OSError: the kernel does not support landlock, or refuses.
    """
    version = landlock_version()
    attributes, size = everything(version)
    ruleset = syscall("landlock_create_ruleset", CREATE_RULESET, ctypes.addressof(attributes), size, 0)
    # The ruleset's descriptor stays open; close_range in the workers closes it.
    syscall("landlock_restrict_self", RESTRICT_SELF, ruleset, 0)
    return version


def everything(version: int) -> tuple[Attributes, int]:
    """Every access that this version of landlock can forbid, and the size of the structure to pass."""
    file_rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)  # + refer, truncate, ioctl on devices
    attributes = Attributes(files=(1 << file_rights) - 1)
    if version >= 4:
        attributes.network = 0b11  # bind and connect TCP
    if version >= 6:
        attributes.scopes = 0b11  # abstract sockets and signals to processes outside
    return attributes, 8 if version < 4 else 16 if version < 6 else 24
