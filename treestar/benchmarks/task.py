"""A benchmark task (one problem of one cell), and the worker that searches it and makes its line of samples.jsonl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from treestar.benchmarks.matrix import Cell
from treestar.benchmarks.passages import Passages
from treestar.benchmarks.samples import Row, ThoughtTokens, make_row
from treestar.benchmarks.thinking import thought_tokens
from treestar.components import ComponentsConfig, components_by_kind, open_components, remarks_of
from treestar.policy import FormatName, LanguageModelPolicy, TransformersPolicy, load_policy
from treestar.policy.backends.forcing import CLOSING, OPENING
from treestar.policy.backends.prompt_tokens import encode
from treestar.policy.load import is_loaded_here
from treestar.policy.models import Dtype, device_for
from treestar.ppm.public import Aggregate, ScorerKind
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.search import Components, SearchResult, search_one
from treestar.types import Problem, Scorer, State
from treestar.workers import Worker

__all__ = ["BenchmarkTask", "benchmark_worker", "open_benchmark_worker"]

SEED_STRIDE = 1_000_000
"""Distance between the seeds of a task's searches when a token budget needs more samples than `samples`."""


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """One problem of one cell."""

    cell: Cell
    doc_id: int
    """The index of the problem in its data set."""
    problem: Problem
    tokens: int = 0
    """Sampling continues until at least this many tokens are generated, so that it covers every budget."""


@asynccontextmanager
async def open_benchmark_worker(
    policy: str,
    step_format: FormatName | None,
    ppm: str | None,
    dtype: Dtype | None,
    step_separator: str | None = None,
    scorer_kind: ScorerKind | None = None,
    aggregate: Aggregate | None = None,
    passages: Passages | None = None,
) -> AsyncIterator[Worker[BenchmarkTask, Row]]:
    """A worker with models given by name, a sandbox and a grader; all are closed when the context exits.

    Args:
        passages: what the steps of a policy of the `retrieval` format find; None without retrieval.

    Raises:
        TreestarError: a model or an index cannot be loaded.
    """
    loaded = load(policy, step_format, dtype, step_separator)
    config = ComponentsConfig(
        policy=loaded,
        scorer=ppm,
        scorer_kind=scorer_kind,
        aggregate=aggregate,
        # As an object, it may go with a policy whose steps are queries: `passages` answer them.
        executor=SandboxConfig() if passages is None else SandboxExecutor(),
        dtype=dtype_of(loaded),
    )
    async with open_components(config) as components:
        about = described(loaded, components.scorer)
        if step_separator is not None:
            about["step_separator"] = step_separator
        if passages is not None:
            about["retrieval"] = passages.to_json()
        yield benchmark_worker(components, partial(first_prompt, loaded), about, thought_counter(loaded), passages)


def benchmark_worker(
    components: Components,
    prompt: Callable[[Problem], str],
    about: dict[str, Any],
    thought: ThoughtTokens | None = None,
    passages: Passages | None = None,
) -> Worker[BenchmarkTask, Row]:
    """The worker that searches with `components`.

    Args:
        prompt: the text from which the policy continues a problem's first step.
        about: information about the models.
        thought: counts the tokens of a thought, for a model that thinks.
        passages: what steps find; None without retrieval.
    """
    # Public tests guide searches. Samples stay as the policy wrote them, because pass@k is about those.
    guided, unguided = components_by_kind(components, True), components_by_kind(components, False)
    executor_of = None if passages is None else passages.open()

    async def work(task: BenchmarkTask) -> Row:
        parts = (guided if task.cell.is_tree_search else unguided)(task.problem)
        if executor_of is not None:
            parts = replace(parts, executor=executor_of(task.cell.dataset, task.problem))
        results = await search(task, parts)
        has_scorer = parts.scorer is not None
        return await make_row(
            task.cell, task.doc_id, prompt(task.problem), results, parts.verifier, has_scorer, thought
        )

    return Worker(work, about, partial(remarks_of, components))


def thought_counter(policy: LanguageModelPolicy) -> ThoughtTokens | None:
    """Counts the tokens of the policy's thoughts; None if it has none, or its tokenizer is not at hand."""
    tokenizer = getattr(policy, "tokenizer", None)
    if policy.format.name != "thinking" or tokenizer is None:
        return None
    opening, closing = (encode(tokenizer, tag) for tag in (OPENING, CLOSING))
    if len(opening) != 1 or len(closing) != 1:
        return None
    return partial(thought_tokens, opening=opening[0], closing=closing[0])


def first_prompt(policy: LanguageModelPolicy, problem: Problem) -> str:
    """The text from which the policy continues the first step."""
    step_format = policy.format
    if problem.kind == "code" and step_format.code_format is not None:
        step_format = step_format.code_format
    return step_format.prompt(State(problem))


async def search(task: BenchmarkTask, components: Components) -> list[SearchResult]:
    """One search, and more with other seeds while the samples have fewer tokens than `task.tokens`."""
    results: list[SearchResult] = []
    spent = 0
    while not results or (spent < task.tokens and results[-1].stats.spent_tokens > 0):
        seed = task.cell.seed + SEED_STRIDE * len(results)
        results.append(await search_one(task.problem, task.cell.config, components, seed))
        spent += results[-1].stats.generated_tokens
    return results


def load(
    policy: str, step_format: FormatName | None, dtype: Dtype | None, step_separator: str | None
) -> LanguageModelPolicy:
    """The policy; on a CPU in float32 by default, so that its text very rarely depends on the rest of the batch."""
    if dtype is None and is_loaded_here(policy) and device_for(None) == "cpu":
        dtype = "float32"
    return load_policy(policy, step_format, dtype=dtype, step_separator=step_separator)


def dtype_of(policy: LanguageModelPolicy) -> Dtype | None:
    """The policy's data type; None for a server, which does not report it."""
    if not isinstance(policy, TransformersPolicy):
        return None
    return cast(Dtype, str(policy.model.dtype).removeprefix("torch."))


def described(policy: LanguageModelPolicy, scorer: Scorer | None) -> dict[str, Any]:
    """The settings besides the configuration that results depend on."""
    return {
        "name": policy.name,
        "dtype": dtype_of(policy),
        "step_format": policy.format.name,
        "ppm": None if scorer is None else scorer.name,
        "num_fewshot": policy.format.examples,
    }
