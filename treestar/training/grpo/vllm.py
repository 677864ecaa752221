"""vLLM in place of transformers as what samples: an engine that has the weights of the model in training.

The engine gets a checkpoint: before each sampling the weights are written to a temporary folder, from which it reads
them again. So vLLM's own loader decides on names, layouts and parallel parts, as for every other model.

Old log-probabilities are computed by the trainer. In float32 the two differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from treestar.extras import needs_extra
from treestar.policy.backends.vllm import VLLMPolicy
from treestar.policy.backends.vllm_engine import VLLMEngine
from treestar.policy.models import load_causal_model, load_tokenizer
from treestar.policy.models.adapter import merged
from treestar.training.base_policy import Base
from treestar.training.grpo.config import GRPOConfig
from treestar.training.run import process_count
from treestar.types import TreestarError

__all__ = ["check_vllm", "vllm_policy"]

MAX_BATCH = 256
"""Sequences at a time, unless the engine's arguments say otherwise."""

BESIDE_A_TRAINING = {"dtype": "float32", "gpu_memory_utilization": 0.3}
"""Engine arguments that are other than vLLM's own, which would take a whole GPU and round the weights."""


def check_vllm(config: GRPOConfig) -> None:
    """Raise TreestarError if vLLM is to sample and cannot."""
    if config.vllm is None:
        return
    if find_spec("vllm") is None:
        raise needs_extra("sampling with vLLM (on a CPU, see docs/guides/backends.md)", "vllm")
    if process_count() > 1:
        raise TreestarError(
            f"vLLM samples for a training in one process, not in {process_count()}: leave `vllm` out, or start without "
            "a launcher (`vllm: {tensor_parallel_size: 2}` spreads the sampling alone over two devices)"
        )


@contextmanager
def vllm_policy(model: Any, base: Base, arguments: Any) -> Iterator[tuple[VLLMPolicy, Callable[[], None]]]:
    """A policy that vLLM computes, and what gives it the weights of `model` as they are then. The engine ends with the
    context.

    Args:
        model: in training; of transformers, or of peft around the weights of `base`.
        arguments: fields of vLLM's `AsyncEngineArgs`.

    Raises:
        TreestarError: vLLM cannot start with the model.
    """
    with TemporaryDirectory(prefix="treestar-weights-") as folder:
        load_tokenizer(base.path).save_pretrained(folder)
        write_weights(model, base, Path(folder))
        engine = VLLMEngine("policy", base.name, folder, MAX_BATCH, {**BESIDE_A_TRAINING, **arguments})

        def renew() -> None:
            write_weights(model, base, Path(folder))
            engine.reload()

        try:
            yield VLLMPolicy(engine, base.step_format), renew
        finally:
            engine.close()


def write_weights(model: Any, base: Base, folder: Path) -> None:
    """Write `model` to `folder` as a checkpoint without adapters; these are merged into a copy of the base, because
    merging them in place and taking them out again would round the weights that they are trained with."""
    import torch
    from accelerate.utils import is_peft_model

    if is_peft_model(model):
        with TemporaryDirectory(prefix="treestar-adapter-") as adapter:
            model.save_pretrained(adapter)
            model = merged(load_causal_model(base.path, dtype=torch.float32), adapter)
    model.save_pretrained(folder)
