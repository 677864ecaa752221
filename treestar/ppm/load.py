"""From the string that names a scorer to the scorer: a process preference model here, or one behind a server."""

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
"""How to load a scorer from its name, the device, the batch size and the dtype, by the prefix of the name; the first
prefix that fits counts. A new kind of reward model is a module beside this one and a line above the last."""


def load_scorer(name: str, device: str | None = None, max_batch: int = 128, dtype: Dtype | None = None) -> LoadedScorer:
    """Load a scorer over a process preference model, or connect to one behind a server.

    Args:
        name: a shipped PPM, a model folder (also in the layout of the released rStar-Math code), or a hub id;
            `vllm:MODEL` and `openai:MODEL@URL` as for `load_policy`.
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA where there is one.
        max_batch: the most states that are read at the same time.
        dtype: the arithmetic; None takes what is fast on the device.

    Raises:
        TreestarError: the model does not exist, cannot be read, or is not a PPM; or the device does not exist.
    """
    load = next(load for prefix, load in KINDS.items() if name.startswith(prefix))
    return load(name, device, max_batch, dtype)
