"""The backends of a job: components by the names of their models, and the two training functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from treestar.components import ComponentsConfig, load_step_scorer
from treestar.policy import FormatName
from treestar.policy.formats import StepFormat
from treestar.policy.load import read_step_format
from treestar.policy.models import Dtype
from treestar.ppm.public import ScorerKind
from treestar.types import Scorer

__all__ = ["Backends", "local_backends"]


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
    step_scorer: Callable[[str, Dtype | None, ScorerKind | None], Scorer] = load_step_scorer
    """Loads the scorer that selects trajectories, by its name, data type and kind."""


def local_backends(bootstrap: str = "", step_format: FormatName | None = None) -> Backends:
    """Models on this machine or behind a server, and training in this process.

    Args:
        step_format: the format in which the policy `bootstrap` writes, if it is not the one in its files.
    """
    from treestar.training.ppm.train import train_ppm
    from treestar.training.sft.train import train_policy

    return Backends(partial(named_components, bootstrap, step_format), read_step_format, train_policy, train_ppm)


def named_components(
    bootstrap: str, step_format: FormatName | None, policy: str, ppm: str | None, dtype: Dtype | None
) -> ComponentsConfig:
    wanted = step_format if policy == bootstrap else None
    return ComponentsConfig(policy=policy, scorer=ppm, dtype=dtype, step_format=wanted)
