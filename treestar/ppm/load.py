"""From the string that names a process preference model to the scorer."""

from __future__ import annotations

from treestar.policy.backends.openai import OPENAI_PREFIX
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.backends.vllm_engine import VLLM_PREFIX
from treestar.policy.models import Dtype
from treestar.ppm.model import load_ppm
from treestar.ppm.openai import OpenAIScorer, load_openai_scorer
from treestar.ppm.scorer import TransformersScorer
from treestar.ppm.vllm import VLLMScorer, load_vllm_scorer

__all__ = ["load_scorer"]


def load_scorer(
    name: str, device: str | None = None, max_batch: int = 128, dtype: Dtype | None = None
) -> TransformersScorer | VLLMScorer | OpenAIScorer:
    """Load a scorer over a process preference model, or find one behind a server.

    Args:
        name: a shipped PPM, a model folder (also in the layout of the released rStar-Math code), or a hub id;
            `vllm:MODEL` and `openai:MODEL@URL` as for `load_policy`.
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA where there is one.
        max_batch: most states read at the same time.
        dtype: the arithmetic; None takes what is fast on the device.

    Raises:
        TreestarError: there is no such PPM, it cannot be read, or the device does not exist.
    """
    if name.startswith(OPENAI_PREFIX):
        return load_openai_scorer(name, RemoteServerConfig(concurrency=max_batch))
    if name.startswith(VLLM_PREFIX):
        return load_vllm_scorer(name, max_batch, dtype)
    return TransformersScorer(load_ppm(name, device, dtype), name, max_batch)
