"""A plot of a stepwise training: the loss and the sigma of each kind of step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from treestar.plotting import new_figure, save_png
from treestar.storage.files import writing

__all__ = ["draw_sigmas"]


def draw_sigmas(report: Mapping[str, Any], path: Path) -> None:
    """Draw `kind_losses` and `sigmas` of a `training.json` into a PNG.

    Raises:
        TreestarError: matplotlib is not installed, or `path` cannot be written.
    """
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    for axes, name, label in ((left, "kind_losses", "loss"), (right, "sigmas", "sigma")):
        for kind, values in report[name].items():
            if values:
                axes.plot(*zip(*values, strict=True), label=kind)
        axes.set(xlabel="step", ylabel=label)
        if axes.lines:
            axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    with writing(path):
        save_png(figure, path)
