"""Puts the layers of the jail together: those of the zygote, which its workers inherit, and those of each worker.

With `isolation="full"` a missing landlock or seccomp is an error: steps then do not run at all. Namespaces and the
change of user are the other two walls' backing, and containers often forbid them; where they do, the report says so.
"""

from __future__ import annotations

import sys

from treestar.verifier.sandbox.jail.landlock import forbid_files, landlock_version
from treestar.verifier.sandbox.jail.privileges import (
    cap_resources,
    drop_user,
    forbid_new_privileges,
    leave_namespaces,
)
from treestar.verifier.sandbox.jail.seccomp import ALLOWED, allow_only_listed_calls, seccomp_supported

__all__ = ["SOCKET", "Unsupported", "jail_worker", "jail_zygote", "require_support"]

SOCKET = 3
"""The only descriptor of a worker that leads anywhere: its socket to the engine."""

NOT_CHOSEN = "off: isolation='process' was chosen"


class Unsupported(Exception):
    """This system lacks a layer that `isolation="full"` cannot do without. The message says which."""


def require_support() -> None:
    """Raise `Unsupported` where landlock or seccomp is missing."""
    if sys.platform != "linux":
        raise Unsupported(f"landlock and seccomp exist on Linux only, and this is {sys.platform}")
    try:
        landlock_version()
    except OSError as error:
        raise Unsupported(f"the kernel has no landlock, which Linux 5.13 and later can have ({error})") from error
    missing = seccomp_supported()
    if missing is not None:
        raise Unsupported(missing)


def jail_zygote(isolation: str) -> dict[str, str]:
    """Give up everything but forking and ending workers. Call it with every import done: no file opens afterwards.

    Returns:
        What each layer does here, in words, by the layer's name; "off: why" where it does nothing.

    Raises:
        Unsupported: a layer that `isolation` cannot do without is missing.
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
    """The layers of one worker, applied to this process. Returns and raises as `jail_zygote` does."""
    limits = cap_resources(address_space, SOCKET + 1, cpu_seconds)
    if isolation == "process":
        return {"limits": limits, "seccomp": NOT_CHOSEN}
    try:
        allow_only_listed_calls(SOCKET)
    except OSError as error:
        raise Unsupported(f"the kernel refused {error}") from error
    return {"limits": limits, "seccomp": f"{len(ALLOWED)} system calls allowed, all others refused"}
