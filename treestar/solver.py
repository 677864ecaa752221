"""`Solver` answers questions with a policy, a sandbox, a verifier and a search strategy.

It owns an event loop in its own thread, so it works the same in scripts, notebooks and asyncio programs. With `ray` the
searches run in actors on a Ray cluster instead, with the same results and files.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, TypeVar

from treestar.allocation import DifficultyModel, search_set, vote_gain
from treestar.allocation.kept_turns import keeping_turns, set_settings
from treestar.allocation.search_set import check_config
from treestar.components import (
    DEFAULT_SCORER,
    ComponentsConfig,
    check_names,
    components_by_kind,
    load_components,
    open_components,
    remarks_of,
    scorer_name,
)
from treestar.policy import FormatName
from treestar.policy.models import DEFAULT_POLICY
from treestar.ppm.public import Aggregate, ScorerKind
from treestar.problems import as_problems
from treestar.results_file import append_result, results_of, settings_of, with_problem
from treestar.sandbox import SandboxConfig
from treestar.search import Budget, Components, MCTSConfig, SearchConfig, SearchResult, SearchStats, Tree, search_one
from treestar.search.config import TreeSearchConfig
from treestar.search.engine import Progress, check_scorer, strategy_of
from treestar.storage.lines import appending
from treestar.types import Executor, Policy, Problem, Scorer, Verifier
from treestar.workers import LocalWorkers, RayConfig, Worker, Workers, open_workers
from treestar.workers.ray_actors import connect

__all__ = ["SolveTask", "Solver", "open_solve_worker"]

CANCEL_SECONDS = 60.0
"""Time limit in seconds for interrupted work on a cluster to end its actors."""

ResultT = TypeVar("ResultT")

OnResult = Callable[[int, SearchResult], None]
"""Called with the index of a problem in the call, and its result."""

Found = tuple[SearchResult, dict[str, Any] | None]
"""A result without its tree, and the tree as JSON if requested. Its nodes hold handles to interpreters, which are
invalid in another process."""


@dataclass(frozen=True, slots=True)
class SolveTask:
    """A problem for an actor to solve."""

    place: int
    """The index of the problem in the call."""
    problem: Problem
    with_tree: bool
    """Whether to send back the tree, which is most of an actor's traffic."""


class Solver:
    """Searches for the answers of math problems.

    Args:
        policy: a shipped or fetched policy, a model folder, a GGUF file, a Hugging Face hub id, `vllm:MODEL`,
            `openai:MODEL@URL`, or any `treestar.types.Policy`.
        search: the configuration of a strategy: `MCTSConfig`, `BeamSearchConfig`, `MajorityConfig`, ... (those of
            `treestar.search.STRATEGIES`).
        scorer: a PPM or a public reward model: named like a policy, or any `treestar.types.Scorer`; by default the one
            that comes with the policy, if there is one, and None for none. With one, MCTS is PPM-augmented.
        executor: runs the code of steps: the settings of a sandbox, or any `treestar.types.Executor`. The default
            sandbox if None.
        verifier: compares answers; mathematical equivalence if None.
        seed: the same seed, problem and model give the same tree.
        concurrency: maximum number of problems searched at the same time; on a cluster, per actor.
        on_progress: called with each running search after every wave of expansions, from the solver's thread; not on a
            cluster.
        on_remark: called with a line for each recovered failure: repeated requests to servers (when the solver is
            closed), lost actors.
        step_format: the step format of a policy given by name; None for the one in the model's files.
        step_separator: for formats of prose, the text that ends a step; None for a blank line.
        scorer_kind: the convention that a scorer given by name follows; None recognizes it from the model's files.
        aggregate: how a public reward model's scores of a state's steps become one (`last`, `min`, `product`, `mean`,
            `sum`); None for the model's own way.
        ray: the cluster whose actors search; None for this process. Each actor loads its own components, so policy and
            scorer must be names (folders must be at the same path on every node), the executor the settings of a
            sandbox, and the verifier the default.

    A solver is a context manager. Leaving it (or `close`) ends its processes or actors, and closes the components that
    it was given.

    Raises:
        ValueError: the strategy needs a PPM, and none is given; or an object is given but actors need a name.
        TreestarError: the policy or the PPM cannot be loaded, or the cluster is unreachable or has too few resources.
    """

    components: Components
    """The loaded components. On a cluster each actor has its own, and the solver has none."""

    def __init__(
        self,
        policy: str | Policy = DEFAULT_POLICY,
        search: SearchConfig | None = None,
        scorer: str | Scorer | None = DEFAULT_SCORER,
        executor: SandboxConfig | Executor | None = None,
        verifier: Verifier | None = None,
        seed: int = 0,
        concurrency: int = 64,
        on_progress: Progress = lambda _: None,
        on_remark: Callable[[str], None] = lambda _: None,
        *,
        step_format: FormatName | None = None,
        step_separator: str | None = None,
        scorer_kind: ScorerKind | None = None,
        aggregate: Aggregate | None = None,
        ray: RayConfig | None = None,
    ) -> None:
        self.search = search if search is not None else MCTSConfig()
        strategy, _ = strategy_of(self.search)
        scorer = scorer_name(policy, scorer, [type(self.search)]) if isinstance(scorer, str) else scorer
        check_scorer(strategy, scorer is not None)
        self.seed = seed
        self.step_separator = step_separator
        self.concurrency = concurrency
        self.on_progress = on_progress
        self.on_remark = on_remark
        config = ComponentsConfig(
            policy=policy,
            scorer=scorer,
            scorer_kind=scorer_kind,
            aggregate=aggregate,
            executor=executor if executor is not None else SandboxConfig(),
            verifier=verifier,
            step_format=step_format,
            step_separator=step_separator,
        )
        if ray is not None:
            check_names(config)
        self.opened = AsyncExitStack()
        self.workers: Workers[SolveTask, Found] | None = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="treestar-solver", daemon=True)
        self.thread.start()
        try:
            if ray is None:
                self.components = load_components(config, self.opened)
                self.parts_of = components_by_kind(self.components, isinstance(self.search, TreeSearchConfig))
                self.opened.callback(self.tell_remarks)
            else:
                connect(ray.address)  # here, because Ray handles SIGTERM only if it starts in the main thread
                self.workers = self.wait_for(self.open_actors(config, ray))
        except BaseException:
            self.close()
            raise

    def solve(self, problem: str | Problem) -> SearchResult:
        """Search for the answer of one problem; see `solve_many`."""
        return self.solve_many([problem])[0]

    def solve_many(
        self,
        problems: Iterable[str | Problem],
        out: str | Path | None = None,
        on_result: Callable[[SearchResult], None] = lambda _: None,
        trees: bool = True,
        total: Budget | None = None,
        difficulty: str | Path | None = None,
    ) -> list[SearchResult]:
        """Search for the answers of many problems concurrently.

        Ctrl-C ends every search with what it has found so far; a second one aborts. On a cluster the first one aborts
        and closes the solver. A run with `out` continues where it ended.

        Args:
            out: a JSON Lines file to which each result is appended as soon as it is finished. Problems with a result in
                it are not solved again: their results are read back, without trees.
            on_result: called with each result as it is finished or read back, one at a time.
            trees: whether results keep their trees, which take most of the memory, and on a cluster most of the
                traffic.
            total: one budget for all problems together, spent on those where another trajectory is expected to help
                most. Only with the strategies `majority`, `best_of_n` and `weighted_vote`, and not on a cluster.
            difficulty: with `total`, the file of a difficulty model (`treestar train difficulty`), which estimates that
                better than votes alone.

        Returns:
            One result for each problem, in the order given.

        Raises:
            TypeError, ValueError: `problems` has something else than questions that can be asked (`as_problem`), or the
                solver cannot spend a total.
            TreestarError: `total` is less than one step for each problem, the policy or the sandbox failed permanently,
                a problem was being searched when actors died too often, or `out` cannot be read or written. On a
                cluster the solver can then only be closed.
        """
        wanted = as_problems(problems)
        path = None if difficulty is None else Path(difficulty)
        settings = {**self.settings(), **set_settings(total, path, wanted)}
        results = {} if out is None else results_of(wanted, Path(out), settings)
        for place in sorted(results):
            verifier = self.parts_of(wanted[place]).verifier if self.workers is None else None
            results[place] = self.wait_for(with_problem(results[place], wanted[place], verifier))
            on_result(results[place])
        missing = [SolveTask(place, each, trees) for place, each in enumerate(wanted) if place not in results]
        with nullcontext(lambda _: None) if out is None else appending(Path(out)) as append:

            def keep(place: int, result: SearchResult) -> None:
                results[place] = result if trees else replace(result, tree=None)
                append_result(append, result, settings)
                on_result(results[place])

            if total is not None and missing:
                for place, result in enumerate(self.search_set_here(wanted, total, path, out, settings)):
                    if place not in results:
                        keep(place, result)
            elif self.workers is None:
                self.search_here(missing, keep)
            else:
                self.search_on_cluster(self.workers, missing, keep)
        return [results[place] for place in range(len(wanted))]

    def search_here(self, tasks: Sequence[SolveTask], keep: OnResult) -> None:
        stop = Event()

        async def work(task: SolveTask) -> SearchResult:
            if stop.is_set():
                return SearchResult(task.problem, None, 0.0, None, (), SearchStats(), "interrupted")
            parts = self.parts_of(task.problem)
            return await search_one(task.problem, self.search, parts, self.seed, stop, self.on_progress)

        workers = LocalWorkers(Worker(work, {}), self.concurrency)
        self.wait_or_stop(workers.run(tasks, lambda task, result: keep(task.place, result)), stop)

    def search_set_here(
        self,
        problems: Sequence[Problem],
        total: Budget,
        difficulty: Path | None,
        out: str | Path | None,
        settings: dict[str, Any],
    ) -> list[SearchResult]:
        if self.workers is not None:
            raise ValueError("a total budget is spent in this process: make the Solver without ray")
        stop = Event()
        gain = vote_gain if difficulty is None else DifficultyModel.load(difficulty).gain
        with keeping_turns(None if out is None else Path(out), settings) as (kept, keep):
            searching = search_set(
                problems,
                check_config(self.search),
                self.parts_of,
                total,
                gain,
                self.seed,
                self.concurrency,
                stop,
                self.on_progress,
                kept,
                keep,
            )
            return self.wait_or_stop(searching, stop)

    def search_on_cluster(self, workers: Workers[SolveTask, Found], tasks: Sequence[SolveTask], keep: OnResult) -> None:
        def on_found(task: SolveTask, found: Found) -> None:
            result, tree = found
            keep(task.place, result if tree is None else replace(result, tree=Tree.from_json(tree)))

        async def run() -> None:
            async with self.turn:
                await workers.run(tasks, on_found)

        try:
            self.wait_for(run())
        except KeyboardInterrupt:
            self.close()  # otherwise its actors would continue with the remaining tasks
            raise

    async def open_actors(self, config: ComponentsConfig, ray: RayConfig) -> Workers[SolveTask, Found]:
        opening = partial(open_solve_worker, config, self.search, self.seed)
        self.turn = asyncio.Lock()
        return await self.opened.enter_async_context(open_workers(opening, self.concurrency, ray, self.on_remark))

    def settings(self) -> dict[str, Any]:
        """The settings that results depend on."""
        models = models_of(self.components) if self.workers is None else self.workers.about
        written = {"step_format": models["step_format"], "step_separator": self.step_separator}
        search = self.search.completed(models["recommended"])
        return settings_of(models["policy"], models["ppm"], search, self.seed, **written)

    def tell_remarks(self) -> None:
        for each in remarks_of(self.components):
            self.on_remark(each)

    def submit(self, work: Coroutine[Any, Any, ResultT]) -> Future[ResultT]:
        """Run `work` on the solver's event loop. Raises RuntimeError if it would not end, or is closed."""
        closed, within = self.loop.is_closed(), threading.current_thread() is self.thread
        if closed or within or not self.thread.is_alive():
            work.close()
            elsewhere = "this Solver belongs to another process: make one in each process"
            reason = "on_progress and on_result cannot use the Solver that calls them" if within else elsewhere
            raise RuntimeError("this Solver is closed: make another one" if closed else reason)
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def wait_or_stop(self, work: Coroutine[Any, Any, ResultT], stop: Event) -> ResultT:
        """Run `work` on the solver's event loop. Ctrl-C sets `stop`; a second one cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            stop.set()
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def wait_for(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run `work` on the solver's event loop. Ctrl-C cancels it, and waits until it has cleaned up."""
        ended = Event()

        async def run() -> ResultT:
            try:
                return await work
            finally:
                ended.set()

        future = self.submit(run())
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            ended.wait(CANCEL_SECONDS)
            raise

    def close(self) -> None:
        """End the sandbox, the grader, the models' engines and connections (on a cluster the actors), and the solver's
        thread. What other threads are solving is cancelled. Closing a closed solver does nothing."""
        if self.loop.is_closed() or not self.thread.is_alive():  # the thread is not in a forked process
            return
        ended = self.submit(self.end())  # first, because the solver's own thread cannot wait for its end
        try:
            ended.result()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    async def end(self) -> None:
        try:
            await self.opened.aclose()
        finally:  # other threads would wait forever
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> Solver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def models_of(components: Components) -> dict[str, Any]:
    """The names of the models, how the policy writes, and what suits it."""
    return {
        "policy": components.policy.name,
        "step_format": components.policy.step_format,
        "recommended": components.policy.recommended,
        "ppm": None if components.scorer is None else components.scorer.name,
    }


@asynccontextmanager
async def open_solve_worker(
    config: ComponentsConfig, search: SearchConfig, seed: int
) -> AsyncIterator[Worker[SolveTask, Found]]:
    """The worker in an actor: its own components, closed when the context exits."""
    async with open_components(config) as components:
        parts_of = components_by_kind(components, isinstance(search, TreeSearchConfig))

        async def work(task: SolveTask) -> Found:
            result = await search_one(task.problem, search, parts_of(task.problem), seed)
            assert result.tree is not None
            return replace(result, tree=None), result.tree.to_json() if task.with_tree else None

        yield Worker(work, models_of(components), partial(remarks_of, components))
