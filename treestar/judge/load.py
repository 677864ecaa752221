"""Loads a judge by name, on any backend that a policy can have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from treestar.judge.scorer import JudgeScorer
from treestar.judge.settings import split_judge_name
from treestar.policy import load_policy
from treestar.policy.backends.vllm_engine import VLLM_PREFIX, parse_vllm_name
from treestar.policy.models import Dtype, model_config, shipped_path
from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.choose import KIND_KEY
from treestar.types import TreestarError

__all__ = ["ANALYSIS_KEY", "is_judge", "load_judge"]

ANALYSIS_KEY = "treestar_judge_analysis"
"""The entry of a trained judge's config.json: whether it reasons before its verdict."""


def load_judge(
    name: str,
    device: str | None = None,
    max_batch: int = 128,
    dtype: Dtype | None = None,
    aggregate: Aggregate | None = None,
) -> JudgeScorer:
    """Load a judge, or connect to one behind a server.

    Args:
        name: any name that `load_policy` accepts, with the judge's settings behind it: `MODEL?judge_votes=8`,
            `judge_analysis=false`, `judge_tokens=512`, joined by `&` (see `JudgeSettings`).
        device, max_batch, dtype: as for `load_policy`.
        aggregate: see `JudgeScorer`.

    Raises:
        TreestarError: the model does not exist or cannot be read, was trained to give scores instead of verdicts, or a
            setting is wrong.
    """
    model, settings = split_judge_name(name)
    config = config_of(model)
    if KIND_KEY in config and ANALYSIS_KEY not in config:
        raise TreestarError(
            f"{model} was trained as a scorer of the kind {config[KIND_KEY]}, which gives scores and is not asked for "
            "verdicts: give its name without a judge's settings, and no scorer kind"
        )
    if settings.analysis is None:
        settings = replace(settings, analysis=bool(config.get(ANALYSIS_KEY, True)))
    return JudgeScorer(load_policy(model, device=device, max_batch=max_batch, dtype=dtype), settings, aggregate)


def is_judge(name: str) -> bool:
    """Whether a scorer's name has a judge's settings, or its config.json says that it was trained as a judge."""
    return "?judge_" in name or "&judge_" in name or ANALYSIS_KEY in config_of(name)


def config_of(name: str) -> dict[str, object]:
    """The config.json of a model on this machine; {} if it is elsewhere."""
    model = parse_vllm_name(name)[0] if name.startswith(VLLM_PREFIX) else name
    try:
        return model_config(shipped_path("policy", model) or Path(model).expanduser())
    except (OSError, ValueError):  # whoever loads the model says so
        return {}
