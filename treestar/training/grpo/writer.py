"""The policy that writes trajectories during a training, with the weights as they are at each step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from treestar.policy.backends.local import LocalPolicy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.backends.vllm import VLLMPolicy
from treestar.policy.backends.vllm_engine import VLLMEngine
from treestar.training.base_policy import Base
from treestar.training.run import process_rank

__all__ = ["Writer", "trained_weights_writer", "vllm_writer"]

PREFIX_CACHE_BYTES = 2**28
"""Keys and values are forgotten at every step, so a small cache is enough."""

MAX_BATCH = 128


class Writer(NamedTuple):
    """A policy over the weights that are trained."""

    policy: LocalPolicy
    refresh: Callable[[], None]
    """Called before it writes with other weights than the last time."""
    close: Callable[[], None]


def trained_weights_writer(model: Any, base: Base) -> Writer:
    """The model that is trained, itself: there is no second copy of its weights."""
    policy = TransformersPolicy(
        model, base.tokenizer, base.step_format, base.name, MAX_BATCH, prefix_cache_bytes=PREFIX_CACHE_BYTES
    )
    return Writer(policy, policy.forget, lambda: None)


def vllm_writer(model: Any, base: Base, arguments: Mapping[str, Any], out: Path) -> Writer:
    """vLLM, which is given the weights of `model` through a folder in `out` at each refresh.

    Raises:
        TreestarError: vLLM is not installed, or cannot start with the model.
    """
    engine = VLLMEngine("policy", f"vllm:{base.name}", base.path, MAX_BATCH, arguments)
    folder = out / f"vllm-{process_rank()}"

    def refresh() -> None:
        model.save_pretrained(folder)
        engine.load_weights(str(folder))

    def close() -> None:
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)

    return Writer(VLLMPolicy(engine, base.step_format), refresh, close)
