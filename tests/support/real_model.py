"""The pretrained model of the tests that are marked `real`."""

from __future__ import annotations

from pathlib import Path

import pytest

from treestar.policy.models import fetched_folder

__all__ = ["REAL_MODEL", "real_model_path"]

REAL_MODEL = "smollm2-135m"
"""SmolLM2-135M-Instruct, by the name that `--policy` takes."""


def real_model_path() -> Path:
    """The model's folder; skips the test where it has not been fetched."""
    folder = fetched_folder(REAL_MODEL)
    if not folder.is_dir():
        pytest.skip(f"{REAL_MODEL} is not on this machine: make test-real (or treestar models fetch {REAL_MODEL})")
    return folder
