"""Searches on a Ray cluster: what `Solver.solve_many` does in one process, with results that stream by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from treestar.policy import FormatName, load_policy
from treestar.policy.models import DEFAULT_POLICY
from treestar.ppm import load_scorer
from treestar.ppm.openai import server_remarks
from treestar.results_file import append_result, iter_results, result_key, settings_of
from treestar.search import Components, MCTSConfig, SearchConfig, SearchResult, Tree, search_one
from treestar.search.engine import check_scorer, strategy_of
from treestar.solver import as_problem
from treestar.storage.lines import appending
from treestar.types import Problem
from treestar.verifier import AnswerVerifier
from treestar.verifier.sandbox import SandboxConfig, SandboxExecutor
from treestar.workers import RayConfig, Worker, open_workers

__all__ = ["solve_on_cluster"]

Found = tuple[SearchResult, dict[str, Any] | None]
"""A result without its tree, and where it is wanted that tree as JSON: its nodes hold handles to interpreters, which
mean nothing in another process."""


def solve_on_cluster(
    problems: Iterable[str | Problem],
    policy: str = DEFAULT_POLICY,
    search: SearchConfig | None = None,
    scorer: str | None = None,
    *,
    ray: RayConfig,
    step_format: FormatName | None = None,
    sandbox: SandboxConfig | None = None,
    seed: int = 0,
    concurrency: int = 64,
    with_trees: bool = False,
    out: str | Path | None = None,
    on_result: Callable[[SearchResult], None] = lambda _: None,
    remark: Callable[[str], None] = lambda _: None,
) -> None:
    """Search for the answers of many problems in actors on a Ray cluster.

    Results are those of a `Solver` with the same policy, search and seed. Of a finished problem nothing is kept here,
    so the memory of this process is that of the problems themselves. Ctrl-C ends it at once; a run with `out` goes on
    from there.

    Args:
        policy, scorer: names, as for `Solver`. Folders must be where every node finds them.
        ray: the cluster, and what an actor gets of it.
        concurrency: most problems that an actor searches at the same time.
        with_trees: whether results have their trees, which are most of what actors then send.
        out: a JSON Lines file as of `Solver.solve_many`; what it holds is not solved again.
        on_result: called with each result as it is finished, or read back from `out`.
        remark: told which actors were lost, and what servers were asked again.

    Raises:
        ValueError: the strategy needs a PPM, and none is given; a question is empty or too long.
        TreestarError: there is no cluster or no room, a model cannot be loaded, the policy or a sandbox failed for
            good, a problem was in flight when actors died too often, or `out` cannot be read or written.
    """
    search = search if search is not None else MCTSConfig()
    check_scorer(strategy_of(search)[0], scorer is not None)
    wanted = {result_key(each): each for each in map(as_problem, problems, count())}
    opening = partial(
        open_search_worker, policy, step_format, scorer, search, seed, sandbox or SandboxConfig(), with_trees
    )

    async def work() -> None:
        async with open_workers(opening, concurrency, ray, remark) as workers:
            settings = settings_of(workers.about["policy"], workers.about["ppm"], search, seed)
            if out is not None:
                for result in iter_results(Path(out), settings):
                    if wanted.pop(result_key(result.problem), None) is not None:
                        on_result(result)
            with nullcontext() if out is None else appending(Path(out)) as append:

                def keep(_: Problem, found: Found) -> None:
                    result, tree = found
                    if append is not None:
                        append_result(append, result, settings)
                    on_result(result if tree is None else replace(result, tree=Tree.from_json(tree)))

                await workers.run(wanted.values(), keep)

    asyncio.run(work())


@asynccontextmanager
async def open_search_worker(
    policy: str,
    step_format: FormatName | None,
    scorer: str | None,
    search: SearchConfig,
    seed: int,
    sandbox: SandboxConfig,
    with_trees: bool,
) -> AsyncIterator[Worker[Problem, Found]]:
    """Models by their names, a sandbox and a grader; all are closed afterwards."""
    loaded = load_policy(policy, step_format)
    ppm = None if scorer is None else load_scorer(scorer)
    components = Components(loaded, SandboxExecutor(sandbox), AnswerVerifier(), ppm)

    async def work(problem: Problem) -> Found:
        result = await search_one(problem, search, components, seed)
        assert result.tree is not None
        return replace(result, tree=None), result.tree.to_json() if with_trees else None

    about = {"policy": loaded.name, "ppm": None if ppm is None else ppm.name}
    try:
        yield Worker(work, about, lambda: server_remarks(loaded, ppm))
    finally:
        await components.close()
