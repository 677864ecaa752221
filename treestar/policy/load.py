"""From the string that names a policy to the policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from treestar.policy.embedded import EMBEDDED_POLICIES
from treestar.policy.format import (
    END_OF_STEP,
    BoundFormat,
    ChatFormat,
    FormatName,
    RStarFormat,
    StepFormat,
    plain_template,
)
from treestar.policy.openai import OPENAI_PREFIX, load_openai_policy
from treestar.policy.remote_server import RemoteServerConfig
from treestar.policy.transformers import TransformersPolicy
from treestar.policy.vllm import VLLMPolicy
from treestar.policy.vllm_engine import VLLM_PREFIX, VLLMEngine, parse_vllm_name
from treestar.types import Policy, TreestarError

__all__ = [
    "Dtype",
    "LanguageModelPolicy",
    "device_for",
    "dtype_for",
    "load_policy",
    "loading",
    "model_path",
    "policy_path",
    "step_format_for",
]

Dtype = Literal["float32", "bfloat16", "float16"]

WANTED = (
    "`embedded`, a model folder, a hub id such as Qwen/Qwen2.5-Math-7B-Instruct, vllm: before one of these, or "
    "openai:MODEL@URL"
)


class LanguageModelPolicy(Policy, Protocol):
    """A policy over a language model that speaks the step format."""

    format: StepFormat


def load_policy(
    name: str = "embedded",
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

    with loading("policy", name, WANTED):
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


def device_for(wanted: str | None) -> str:
    """`wanted`, or CUDA where there is one, or the CPU."""
    # A laptop's BLAS threads spin while they wait, and starve whatever else runs there; set before torch starts them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    import torch

    return wanted or ("cuda" if torch.cuda.is_available() else "cpu")


def policy_path(name: str) -> str:
    """The folder or hub id of the policy `name`. Raises TreestarError if it is a folder without a model."""
    return model_path("policy", str(EMBEDDED_POLICIES.get(name, name)))


def model_path(kind: str, name: str) -> str:
    """The folder or hub id that names a model of `kind` ("policy", "PPM").

    Raises:
        TreestarError: it is a folder without a model.
    """
    looks_like_path = name.startswith((".", "/", "~")) or Path(name).exists()
    if looks_like_path and not (Path(name).expanduser() / "config.json").is_file():
        raise TreestarError(f"{kind} {name!r}: there is no config.json in that folder, so it holds no model")
    return str(Path(name).expanduser()) if looks_like_path else name


@contextmanager
def loading(kind: str, name: str, wanted: str) -> Iterator[None]:
    """Turns whatever loading a model raises into one sentence.

    Args:
        wanted: what the user could give instead.

    Raises:
        TreestarError: in place of what was raised inside.
    """
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    if name in EMBEDDED_POLICIES:
        logging.disable_progress_bar()  # it is loaded before a bar could be read
    try:
        yield
    except TreestarError:
        raise
    except Exception as error:  # transformers, the hub client, safetensors and torch raise what they like
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TreestarError(
            f"{kind} {name!r} cannot be loaded: {first_line} (give {wanted}; a hub id needs a network or a filled "
            "cache)"
        ) from error
    finally:
        if had_bars:
            logging.enable_progress_bar()


def dtype_for(device: str) -> Any:
    """The checkpoint's own dtype on accelerators; on a CPU bf16 where it has matrix units for that, else fp32, for
    which every CPU has fast instructions."""
    import torch

    if torch.device(device).type != "cpu":
        return "auto"
    return torch.bfloat16 if torch.cpu.get_capabilities().get("amx_bf16") else torch.float32


def step_format_for(config: Any, tokenizer: Any, wanted: FormatName | None = None) -> StepFormat:
    """The form of the step format that a model speaks.

    `wanted` if given; else what the model's config.json says under `treestar_format`; else `rstar` for a tokenizer that
    has the format's tags as tokens; else `chat`, with the model's chat template where it has one.
    """
    name = wanted or getattr(config, "treestar_format", None)
    if name is None:
        name = "rstar" if END_OF_STEP in tokenizer.get_vocab() else "chat"
    if name == "rstar":
        return RStarFormat()
    if name == "bound":
        return BoundFormat()
    if name != "chat":
        raise TreestarError(f"there is no step format {name!r}: it is rstar, chat or bound")
    if tokenizer.chat_template is None:
        return ChatFormat(plain_template)

    def template(messages: list[dict[str, str]]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    return ChatFormat(template)
