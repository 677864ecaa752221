"""Loads a scorer by name: a process preference model in this process, or one behind a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from treestar.policy.backends.openai import OPENAI_PREFIX
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.backends.vllm_engine import VLLM_PREFIX
from treestar.policy.models import Dtype
from treestar.ppm.model import load_ppm
from treestar.ppm.openai import OpenAIScorer, load_openai_scorer
from treestar.ppm.scorer import TransformersScorer
from treestar.ppm.vllm import VLLMScorer, load_vllm_scorer

__all__ = ["load_scorer"]

LoadedScorer = TransformersScorer | VLLMScorer | OpenAIScorer


KINDS: Mapping[str, Callable[[str, str | None, int, Dtype | None], LoadedScorer]] = {
    OPENAI_PREFIX: lambda name, _, size, __: load_openai_scorer(name, RemoteServerConfig(concurrency=size)),
    VLLM_PREFIX: lambda name, _, size, dtype: load_vllm_scorer(name, size, dtype),
    "": lambda name, device, size, dtype: TransformersScorer(load_ppm(name, device, dtype), name, size),
}
"""Loaders of a scorer from its name, the device, the batch size and the dtype, by prefix of the name; the first
matching prefix is used. To add a kind of reward model, add a module to this folder and a line before the last."""


def load_scorer(name: str, device: str | None = None, max_batch: int = 128, dtype: Dtype | None = None) -> LoadedScorer:
    """Load a scorer over a process preference model, or connect to one behind a server.

    Args:
        name: a shipped PPM, a model folder (also in the layout of the released rStar-Math code), or a hub id;
            `vllm:MODEL` and `openai:MODEL@URL` as for `load_policy`.
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA if available.
        max_batch: maximum number of states in a batch.
        dtype: the data type; None takes a fast one on the device.

    Raises:
        TreestarError: the model does not exist, cannot be read, or is not a PPM; or the device does not exist.
    """
    load = next(load for prefix, load in KINDS.items() if name.startswith(prefix))
    return load(name, device, max_batch, dtype)
