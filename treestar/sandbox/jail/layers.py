"""Combines the layers of the jail: those of the zygote, which its workers inherit, and those of each worker.

With `isolation="full"`, missing landlock or seccomp support is an error, and steps do not run. Namespaces and the
change of user are additional protection that containers often forbid; the report shows if they are off.
"""

from __future__ import annotations

import sys

from treestar.sandbox.jail.landlock import forbid_files, landlock_version
from treestar.sandbox.jail.privileges import (
    cap_resources,
    drop_user,
    forbid_new_privileges,
    leave_namespaces,
)
from treestar.sandbox.jail.seccomp import ALLOWED, allow_only_listed_calls, seccomp_supported

__all__ = ["SOCKET", "Unsupported", "jail_worker", "jail_zygote", "require_support"]

SOCKET = 3
"""A worker's only usable descriptor: its socket to the engine."""

NOT_CHOSEN = "off: isolation='process' was chosen"


class Unsupported(Exception):
    """This system lacks a layer that `isolation="full"` requires. The message names it."""


def require_support() -> None:
    """Raise `Unsupported` if landlock or seccomp is missing."""
    if sys.platform != "linux":
        raise Unsupported(f"landlock and seccomp exist on Linux only, and this is {sys.platform}")
    try:
        landlock_version()
    except OSError as error:
        raise Unsupported(f"the kernel does not support landlock, which needs Linux 5.13 or later ({error})") from error
    missing = seccomp_supported()
    if missing is not None:
        raise Unsupported(missing)


def jail_zygote(isolation: str) -> dict[str, str]:
    """Give up everything except forking and ending workers. Call it after all imports: no file can be opened later.

    Returns:
        The status of each layer as text, by the layer's name; "off: reason" if it is not active.

    Raises:
        Unsupported: a layer that `isolation` requires is missing.
    """
    if isolation == "process":
        return dict.fromkeys(("namespaces", "no_new_privs", "landlock"), NOT_CHOSEN) | {"user": drop_user()}
    require_support()
    try:
        return {
            "namespaces": leave_namespaces(),
            "user": drop_user(),
            "no_new_privs": forbid_new_privileges(),
            "landlock": f"version {forbid_files()}, no rules: no file, no TCP, no signal outside",
        }
    except OSError as error:
        raise Unsupported(f"the kernel refused {error}") from error


def jail_worker(isolation: str, address_space: int, cpu_seconds: int) -> dict[str, str]:
    """Apply the layers of one worker to this process. Returns and raises like `jail_zygote`."""
    limits = cap_resources(address_space, SOCKET + 1, cpu_seconds)
    if isolation == "process":
        return {"limits": limits, "seccomp": NOT_CHOSEN}
    try:
        allow_only_listed_calls(SOCKET)
    except OSError as error:
        raise Unsupported(f"the kernel refused {error}") from error
    return {"limits": limits, "seccomp": f"{len(ALLOWED)} system calls allowed, all others refused"}
