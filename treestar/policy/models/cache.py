"""Where treestar keeps what it has fetched or converted for this user."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """TREESTAR_CACHE, otherwise `treestar` in XDG_CACHE_HOME, otherwise `~/.cache/treestar`; it need not exist."""
    own = os.environ.get("TREESTAR_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "treestar"
