"""Figures of matplotlib, which is an optional package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from treestar.extras import needs_extra
from treestar.types import TreestarError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawn", "new_figure", "save_png"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches.

    Raises:
        TreestarError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise needs_extra("a plot", "bench") from error
    return Figure((width, height), layout="constrained")


def save_png(figure: Figure, path: str | Path) -> None:
    """Write `figure` as PNG; equal figures give equal files. Raises OSError if `path` cannot be written."""
    figure.savefig(Path(path), format="png", dpi=144, metadata={"Software": None})


def drawn(draw: Callable[[Path], None], path: Path) -> str:
    """The Markdown of the picture that `draw` writes to `path`, or says why there is none. Raises OSError."""
    try:
        draw(path)
    except TreestarError as error:
        return f"No picture: {error}."
    return f"![{path.stem}]({path.name})"
