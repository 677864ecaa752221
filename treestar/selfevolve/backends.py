"""What a job's rounds are run with: models by their names, the sandbox, the verifier, and the two trainings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from treestar.policy import FormatName, LanguageModelPolicy, load_policy
from treestar.policy.backends.openai import OPENAI_PREFIX
from treestar.policy.formats import StepFormat, step_format_for
from treestar.policy.models import Dtype, loading, policy_path
from treestar.ppm import load_scorer
from treestar.search import Components
from treestar.types import Executor, Policy, Scorer, Verifier
from treestar.verifier import AnswerVerifier
from treestar.verifier.sandbox import SandboxExecutor

__all__ = ["Backends", "components_of", "local_backends", "step_format_of"]


@dataclass(frozen=True)
class Backends:
    """What turns names into things that work. Tests put scripted ones in."""

    policy: Callable[[str, Dtype | None], LanguageModelPolicy]
    scorer: Callable[[str, Dtype | None], Scorer]
    step_format: Callable[[str, FormatName | None], StepFormat]
    """The form that a policy of that name speaks, or the given one for that policy."""
    executor: Callable[[], Executor]
    verifier: Callable[[], Verifier]
    train_policy: Callable[..., dict[str, Any]]
    """`treestar.training.sft.train.train_policy`."""
    train_ppm: Callable[..., dict[str, Any]]
    """`treestar.ppm.train_ppm`."""


def local_backends() -> Backends:
    """Models on this machine or behind a server, and training in this process."""
    from treestar.training.ppm.train import train_ppm
    from treestar.training.sft.train import train_policy

    return Backends(
        policy=lambda name, dtype: load_policy(name, dtype=dtype),
        scorer=lambda name, dtype: load_scorer(name, dtype=dtype),
        step_format=step_format_of,
        executor=SandboxExecutor,
        verifier=AnswerVerifier,
        train_policy=train_policy,
        train_ppm=train_ppm,
    )


def step_format_of(name: str, wanted: FormatName | None) -> StepFormat:
    """The form that the policy `name` speaks, or the `wanted` one for it, without loading its weights.

    Raises:
        TreestarError: there is no such model.
    """
    if name.startswith(OPENAI_PREFIX):
        return load_policy(name, wanted).format
    path = policy_path(name)
    from transformers import AutoConfig, AutoTokenizer

    with loading("policy", name):
        return step_format_for(AutoConfig.from_pretrained(path), AutoTokenizer.from_pretrained(path), wanted)


@asynccontextmanager
async def components_of(backends: Backends, policy: Policy, scorer: Scorer | None) -> AsyncIterator[Components]:
    """Models with a sandbox and a verifier; all are closed afterwards."""
    components = Components(policy, backends.executor(), backends.verifier(), scorer)
    try:
        yield components
    finally:
        await components.close()
