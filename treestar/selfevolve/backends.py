"""The backends of a job: components by the names of their models, and the two training functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treestar.components import ComponentsConfig
from treestar.policy import FormatName, load_policy
from treestar.policy.backends.openai import OPENAI_PREFIX
from treestar.policy.formats import StepFormat, step_format_for
from treestar.policy.models import Dtype, load_config, load_tokenizer, loading, policy_path

__all__ = ["Backends", "local_backends", "step_format_of"]


@dataclass(frozen=True)
class Backends:
    """Loads the models that a job names, and trains. Tests replace it by a scripted one."""

    components: Callable[[str, str | None, Dtype | None], ComponentsConfig]
    """Loads components from the names of a policy and a PPM and their data type. The policy must be a
    `LanguageModelPolicy`."""
    step_format: Callable[[str, FormatName | None], StepFormat]
    """The step format of the named policy, or the given one for that policy."""
    train_policy: Callable[..., dict[str, Any]]
    """`treestar.training.sft.train.train_policy`."""
    train_ppm: Callable[..., dict[str, Any]]
    """`treestar.training.ppm.train.train_ppm`."""


def local_backends() -> Backends:
    """Models on this machine or behind a server, and training in this process."""
    from treestar.training.ppm.train import train_ppm
    from treestar.training.sft.train import train_policy

    return Backends(named_components, step_format_of, train_policy, train_ppm)


def named_components(policy: str, ppm: str | None, dtype: Dtype | None) -> ComponentsConfig:
    return ComponentsConfig(policy=policy, scorer=ppm, dtype=dtype)


def step_format_of(name: str, wanted: FormatName | None) -> StepFormat:
    """The step format of the policy `name`, or the `wanted` one for it, without loading its weights.

    Raises:
        TreestarError: the model does not exist.
    """
    if name.startswith(OPENAI_PREFIX):
        return load_policy(name, wanted).format
    path = policy_path(name)
    with loading("policy", name):
        return step_format_for(load_config(path), load_tokenizer(path), wanted)
