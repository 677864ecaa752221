"""From the string that names a process preference model to the scorer."""

from __future__ import annotations

from treestar.policy.load import Dtype
from treestar.ppm.model import load_ppm
from treestar.ppm.scorer import TransformersScorer

__all__ = ["load_scorer"]


def load_scorer(
    name: str, device: str | None = None, max_batch: int = 128, dtype: Dtype | None = None
) -> TransformersScorer:
    """Load a scorer over a process preference model.

    Args:
        name: `embedded`, a model folder (also in the layout of the released rStar-Math code), or a hub id.
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA where there is one.
        max_batch: most states of one forward pass.
        dtype: the arithmetic; None takes what is fast on the device.

    Raises:
        TreestarError: there is no such PPM, it cannot be read, or the device does not exist.
    """
    return TransformersScorer(load_ppm(name, device, dtype), name, max_batch)
