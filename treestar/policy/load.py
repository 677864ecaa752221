"""From the string that names a policy to the policy."""

from __future__ import annotations

from typing import Protocol

from treestar.policy.backends.openai import OPENAI_PREFIX, load_openai_policy
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.backends.vllm import VLLMPolicy
from treestar.policy.backends.vllm_engine import VLLM_PREFIX, VLLMEngine, parse_vllm_name
from treestar.policy.formats import FormatName, StepFormat, step_format_for
from treestar.policy.models import DEFAULT_POLICY, Dtype, device_for, dtype_for, loading, policy_path
from treestar.types import Policy

__all__ = ["LanguageModelPolicy", "load_policy"]


class LanguageModelPolicy(Policy, Protocol):
    """A policy over a language model that speaks the step format."""

    format: StepFormat


def load_policy(
    name: str = DEFAULT_POLICY,
    step_format: FormatName | None = None,
    device: str | None = None,
    max_batch: int = 128,
    dtype: Dtype | None = None,
) -> LanguageModelPolicy:
    """Load a policy over a Hugging Face causal language model, or find one behind a server.

    Args:
        name: `embedded` (or `embedded-bootstrap`, where self-evolution starts), a model folder, or a model's id on the
            Hugging Face hub; with `vllm:` before it, vLLM computes it, on the device that it was built for
            (`vllm:MODEL?argument=value` gives it engine arguments); `openai:MODEL@URL` for a model behind an
            OpenAI-compatible server, where device and dtype mean nothing.
        step_format: the form of the step format; None asks the model's own files (see `step_format_for`).
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA where there is one.
        max_batch: most sequences generated at the same time.
        dtype: the arithmetic; None takes what is fast on the device (see `dtype_for`).

    Raises:
        TreestarError: there is no such model, it cannot be read, or the device does not exist.
    """
    if name.startswith(OPENAI_PREFIX):
        return load_openai_policy(name, step_format, RemoteServerConfig(concurrency=max_batch))
    if name.startswith(VLLM_PREFIX):
        return load_vllm_policy(name, step_format, max_batch, dtype)
    device = device_for(device)
    path = policy_path(name)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    with loading("policy", name):
        config = AutoConfig.from_pretrained(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype or dtype_for(device)).to(device)
    chosen = step_format_for(config, tokenizer, step_format)
    return TransformersPolicy(model, tokenizer, chosen, name, max_batch)


def load_vllm_policy(name: str, step_format: FormatName | None, max_batch: int, dtype: Dtype | None) -> VLLMPolicy:
    model, arguments = parse_vllm_name(name)
    path = policy_path(model)
    engine = VLLMEngine("policy", name, path, max_batch, {"dtype": dtype or "auto", **arguments})
    return VLLMPolicy(engine, step_format_for(engine.config, engine.tokenizer, step_format))
