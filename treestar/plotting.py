"""Figures of matplotlib, which is an optional package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from treestar.types import TreestarError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save_png"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches.

    Raises:
        TreestarError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TreestarError("plots need an extra package: pip install 'treestar[bench]'") from error
    return Figure((width, height), layout="constrained")


def save_png(figure: Figure, path: str | Path) -> None:
    """Write `figure` as PNG; equal figures give equal files. Raises OSError if `path` cannot be written."""
    figure.savefig(Path(path), format="png", dpi=144, metadata={"Software": None})
