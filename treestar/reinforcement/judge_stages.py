"""The data of a judge made with models given by name: what a command and a job have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from treestar.components import ComponentsConfig, components_by_kind, open_components
from treestar.judge.annotate import Annotated, annotate
from treestar.judge.config import AnnotationConfig, SegmentationConfig
from treestar.judge.scorer import replying
from treestar.judge.segment import Segmented, Segmenter, by_model, by_rules, segment
from treestar.policy import load_policy
from treestar.storage.files import locked
from treestar.storage.table import Row
from treestar.types import Closable, Problem

__all__ = ["RULES", "annotate_problems", "segment_problems"]

RULES = "rules"
"""The name of the segmenter that needs no model."""

LONGEST_REPLY = 4096
"""Maximum tokens of a segmenting model's reply, or half of its context."""


def annotate_problems(
    problems: Sequence[Problem],
    models: ComponentsConfig,
    folder: Path,
    config: AnnotationConfig,
    concurrency: int = 16,
    on_row: Callable[[Row], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Annotated:
    """`treestar.judge.annotate.annotate` with the policy that `models` names.

    Raises:
        TreestarError: as there, and if the policy cannot be loaded.
    """

    async def run() -> Annotated:
        async with open_components(models) as parts:
            of_kind = components_by_kind(parts, guided=False)
            return await annotate(problems, of_kind, folder, config, about(models), concurrency, on_row, say)

    with locked(folder):
        return asyncio.run(run())


def segment_problems(
    problems: Sequence[Problem],
    models: ComponentsConfig,
    segmenter: str,
    folder: Path,
    config: SegmentationConfig,
    concurrency: int = 16,
    on_row: Callable[[Row], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Segmented:
    """`treestar.judge.segment.segment` with the policy that `models` names.

    Args:
        segmenter: `rules`, or the model that marks the chunks: a name that `load_policy` accepts.

    Raises:
        TreestarError: as there, and if a model cannot be loaded.
    """

    async def run() -> Segmented:
        async with open_components(models) as parts, AsyncExitStack() as opened:
            of_kind = components_by_kind(parts, guided=False)
            marking = loaded_segmenter(segmenter, config, opened)
            names = about(models) | {"segmenter": segmenter}
            return await segment(problems, of_kind, marking, folder, config, names, concurrency, on_row, say)

    with locked(folder):
        return asyncio.run(run())


def loaded_segmenter(name: str, config: SegmentationConfig, opened: AsyncExitStack) -> Segmenter:
    if name == RULES:
        return by_rules
    policy = load_policy(name)
    if isinstance(policy, Closable):
        opened.push_async_callback(policy.close)
    limit = min(LONGEST_REPLY, getattr(policy, "context", 2 * LONGEST_REPLY) // 2)
    return by_model(replying(policy), config.tries, limit)


def about(models: ComponentsConfig) -> dict[str, Any]:
    """What the data depends on besides its settings."""
    policy = models.policy if isinstance(models.policy, str) else models.policy.name
    return {"policy": policy, "step_format": models.step_format}
