"""What a benchmark run is made of: one problem of one cell, and the worker that searches it and makes its line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from treestar.benchmarks.matrix import Cell
from treestar.benchmarks.samples import Row, make_row
from treestar.policy import FormatName, LanguageModelPolicy, TransformersPolicy, load_policy
from treestar.policy.models import Dtype
from treestar.ppm import load_scorer
from treestar.ppm.openai import server_remarks
from treestar.search import Components, SearchResult, search_one
from treestar.types import Problem, Scorer, State
from treestar.verifier import AnswerVerifier
from treestar.verifier.grading.unit_tests import UnitTestVerifier
from treestar.verifier.sandbox import SandboxExecutor
from treestar.workers import Worker

__all__ = ["Job", "benchmark_worker", "open_benchmark_worker"]

SEED_STRIDE = 1_000_000
"""Distance between the seeds of a cell's searches where a token budget needs more samples than `samples`."""


@dataclass(frozen=True, slots=True)
class Job:
    """One problem of one cell."""

    cell: Cell
    doc_id: int
    """The problem's place in its data set."""
    problem: Problem
    tokens: int = 0
    """Sampling goes on until at least this many tokens are generated, so that every budget can be served from it."""


@asynccontextmanager
async def open_benchmark_worker(
    policy: str, step_format: FormatName | None, ppm: str | None, dtype: Dtype | None
) -> AsyncIterator[Worker[Job, Row]]:
    """Models by their names, a sandbox and a grader; all are closed afterwards.

    Raises:
        TreestarError: a model cannot be loaded.
    """
    loaded = load(policy, step_format, dtype)
    scorer = None if ppm is None else load_scorer(ppm, dtype=dtype_of(loaded))
    components = Components(loaded, SandboxExecutor(), AnswerVerifier(), scorer)
    try:
        yield benchmark_worker(
            components, lambda problem: loaded.format.prompt(State(problem)), described(loaded, scorer)
        )
    finally:
        await components.close()


def benchmark_worker(
    components: Components, prompt: Callable[[Problem], str], about: dict[str, Any]
) -> Worker[Job, Row]:
    """
    Args:
        prompt: the text from which the policy continues a problem's first step.
        about: what is known of the models.
    """
    tests = replace(components, verifier=UnitTestVerifier(components.executor))

    async def work(job: Job) -> Row:
        parts = tests if job.problem.kind == "code" else components
        results = await search(job, parts)
        has_scorer = parts.scorer is not None
        return await make_row(job.cell, job.doc_id, prompt(job.problem), results, parts.verifier, has_scorer)

    return Worker(work, about, lambda: server_remarks(components.policy, components.scorer))


async def search(job: Job, components: Components) -> list[SearchResult]:
    """One search; more of them with other seeds while the samples have fewer tokens than the largest budget."""
    results: list[SearchResult] = []
    spent = 0
    while not results or (spent < job.tokens and results[-1].stats.generated_tokens > 0):
        seed = job.cell.seed + SEED_STRIDE * len(results)
        results.append(await search_one(job.problem, job.cell.config, components, seed))
        spent += results[-1].stats.generated_tokens
    return results


def load(policy: str, step_format: FormatName | None, dtype: Dtype | None) -> LanguageModelPolicy:
    """The policy; on a CPU by default in float32, in which a text hardly ever hangs on what else is in the batch."""
    loaded = load_policy(policy, step_format, dtype=dtype)
    if dtype is None and isinstance(loaded, TransformersPolicy) and loaded.model.device.type == "cpu":
        loaded.model.float()
    return loaded


def dtype_of(policy: LanguageModelPolicy) -> Dtype | None:
    """The policy's arithmetic; None behind a server, which does not tell."""
    if not isinstance(policy, TransformersPolicy):
        return None
    return cast(Dtype, str(policy.model.dtype).removeprefix("torch."))


def described(policy: LanguageModelPolicy, scorer: Scorer | None) -> dict[str, Any]:
    """What results depend on besides the configuration."""
    return {
        "name": policy.name,
        "dtype": dtype_of(policy),
        "step_format": policy.format.name,
        "ppm": None if scorer is None else scorer.name,
        "num_fewshot": policy.format.examples,
    }
