"""From the string that names a policy to the policy."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from treestar.config.calibration import Calibration
from treestar.policy.backends.openai import OPENAI_PREFIX, load_openai_policy
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.backends.vllm import VLLMPolicy
from treestar.policy.backends.vllm_engine import VLLM_PREFIX, VLLMEngine, parse_vllm_name
from treestar.policy.formats import FormatName, StepFormat, step_format_for
from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.models import (
    DEFAULT_POLICY,
    Dtype,
    device_for,
    dtype_for,
    load_causal_model,
    load_config,
    load_generation_config,
    load_tokenizer,
    loading,
    policy_path,
)
from treestar.types import TreestarError

__all__ = [
    "CALIBRATIONS_KEY",
    "PolicyFiles",
    "is_loaded_here",
    "load_policy",
    "read_policy_files",
    "read_step_format",
]


CALIBRATIONS_KEY = "treestar_calibrations"
"""The entry of a policy's config.json: by strategy, `slope` and `intercept`."""


def load_policy(
    name: str = DEFAULT_POLICY,
    step_format: FormatName | None = None,
    device: str | None = None,
    max_batch: int = 128,
    dtype: Dtype | None = None,
    step_separator: str | None = None,
) -> LanguageModelPolicy:
    """Load a policy over a Hugging Face causal language model, or connect to one behind a server.

    Args:
        name: a shipped model (see `SHIPPED_NAMES`) or a fetched one (see `FETCHABLE`), a model folder, a GGUF file, or
            the id of a model on the Hugging Face hub. With `vllm:` in front, vLLM computes the model, on the device
            that vLLM was built for (`vllm:MODEL?argument=value` passes engine arguments). `openai:MODEL@URL` is a model
            behind an OpenAI-compatible server; `device` and `dtype` are then ignored.
        step_format: the format of the steps; None asks the model's own files (see `step_format_for`).
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA where available.
        max_batch: maximum number of sequences generated at the same time.
        dtype: the arithmetic; None takes what is fast on the device (see `dtype_for`).
        step_separator: for formats of prose, the text that ends a step; None: a blank line.

    Raises:
        TreestarError: the model does not exist or cannot be read, or the device does not exist.
    """
    if name.startswith(OPENAI_PREFIX):
        return load_openai_policy(name, step_format, RemoteServerConfig(concurrency=max_batch), step_separator)
    if name.startswith(VLLM_PREFIX):
        return load_vllm_policy(name, step_format, max_batch, dtype, step_separator)
    from treestar.policy.models.packed_linear import pack_linear_layers

    device = device_for(device)
    path = policy_path(name)
    with loading("policy", name):
        config = load_config(path)
        check_continues(config, name)
        tokenizer = load_tokenizer(path)
        model = pack_linear_layers(load_causal_model(path, dtype=dtype or dtype_for(device)).to(device))
    chosen = step_format_for(config, tokenizer, step_format, model.generation_config, step_separator)
    return calibrated(TransformersPolicy(model, tokenizer, chosen, name, max_batch), config)


def check_continues(config: Any, name: str) -> None:
    """Raises TreestarError if a model of this configuration does not continue the text that it reads."""
    if config.is_encoder_decoder:
        raise TreestarError(
            f"policy {name!r} is of the kind {config.model_type}, which encodes a text and writes another one: give a "
            "model that continues a text (a decoder, such as Llama, Qwen or Gemma)"
        )


def is_loaded_here(name: str) -> bool:
    """Whether transformers loads the policy `name` into this process; else vLLM or a server computes it."""
    return not name.startswith((OPENAI_PREFIX, VLLM_PREFIX))


def load_vllm_policy(
    name: str, step_format: FormatName | None, max_batch: int, dtype: Dtype | None, step_separator: str | None
) -> VLLMPolicy:
    model, arguments = parse_vllm_name(name)
    path = policy_path(model)
    engine = VLLMEngine("policy", name, path, max_batch, {"dtype": dtype or "auto", **arguments})
    generation = load_generation_config(path)
    chosen = step_format_for(engine.config, engine.tokenizer, step_format, generation, step_separator)
    return calibrated(VLLMPolicy(engine, chosen), engine.config)


PolicyT = TypeVar("PolicyT", bound=LanguageModelPolicy)


def calibrated(policy: PolicyT, config: Any) -> PolicyT:
    """`policy` with what the model's config.json says of its confidence under `treestar_calibrations`."""
    found = getattr(config, CALIBRATIONS_KEY, {})
    policy.calibrations = {strategy: Calibration(**each) for strategy, each in found.items()}
    return policy


class PolicyFiles(NamedTuple):
    """What a model's files say without its weights."""

    config: Any
    tokenizer: Any
    generation: Any
    """Its `GenerationConfig`, or None."""


def read_step_format(name: str, step_format: FormatName | None = None, step_separator: str | None = None) -> StepFormat:
    """The step format of the policy `name`, without loading its weights; arguments as for `load_policy`.

    Raises:
        TreestarError: the model does not exist or cannot be read.
    """
    if name.startswith(OPENAI_PREFIX):
        return load_openai_policy(name, step_format, RemoteServerConfig(), step_separator).format
    found = read_policy_files(name)
    return step_format_for(found.config, found.tokenizer, step_format, found.generation, step_separator)


def read_policy_files(name: str) -> PolicyFiles:
    """What the files of a policy on this machine say; `name` as for `load_policy`.

    Raises:
        TreestarError: the model does not exist or cannot be read.
    """
    path = policy_path(parse_vllm_name(name)[0] if name.startswith(VLLM_PREFIX) else name)
    with loading("policy", name):
        return PolicyFiles(load_config(path), load_tokenizer(path), load_generation_config(path))
