"""What to say where an optional package is missing: packages are grouped into extras (pyproject.toml)."""

from __future__ import annotations

from treestar.types import TreestarError

__all__ = ["install_command", "needs_extra"]


def install_command(extra: str) -> str:
    """The command that installs an extra of this package."""
    return f"pip install 'treestar[{extra}]'"


def needs_extra(feature: str, extra: str) -> TreestarError:
    """The error of a feature whose packages are not installed: the extra of that name has them."""
    return TreestarError(f"{feature} needs packages that are not installed: {install_command(extra)}")
