"""`Solver`: one object that holds a policy, a sandbox, a verifier and a search strategy, and answers questions.

It owns an event loop in a thread of its own, so it works the same from a script, a notebook and inside asyncio.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, TypeVar

from treestar.policy import load_policy
from treestar.policy.models import DEFAULT_POLICY
from treestar.ppm import load_scorer
from treestar.results_file import append_result, iter_results, result_key, settings_of
from treestar.search import Components, MCTSConfig, SearchConfig, SearchResult, search_many
from treestar.search.engine import Progress, check_scorer, strategy_of
from treestar.storage.lines import appending
from treestar.types import Executor, Policy, Problem, Scorer, Verifier
from treestar.verifier import AnswerVerifier
from treestar.verifier.sandbox import SandboxExecutor

__all__ = ["LONGEST_QUESTION", "Solver"]

LONGEST_QUESTION = 100_000
"""Characters; far beyond any problem that a person would write."""

ResultT = TypeVar("ResultT")


class Solver:
    """Searches for the answers of math problems.

    Args:
        policy: a shipped policy, a model folder, a Hugging Face hub id, `vllm:MODEL`, `openai:MODEL@URL`, or any
            `treestar.types.Policy`.
        search: the configuration of a strategy: `MCTSConfig`, `BeamSearchConfig`, `MajorityConfig`, ... (those of
            `treestar.search.STRATEGIES`).
        scorer: a PPM: named like a policy, or any `treestar.types.Scorer`. With one, MCTS is PPM-augmented.
        executor: runs the steps' code; the sandbox if None.
        verifier: judges answers; mathematical equivalence if None.
        seed: same seed, same problem, same model: same tree.
        concurrency: most problems searched at the same time.
        on_progress: called with each running search after every wave of expansions, from the solver's thread.

    A solver is a context manager; leaving it (or `close`) ends its processes, and those of what it was given.

    Raises:
        ValueError: the strategy needs a PPM, and none is given.
        TreestarError: the policy or the PPM cannot be loaded.
    """

    def __init__(
        self,
        policy: str | Policy = DEFAULT_POLICY,
        search: SearchConfig | None = None,
        scorer: str | Scorer | None = None,
        executor: Executor | None = None,
        verifier: Verifier | None = None,
        seed: int = 0,
        concurrency: int = 64,
        on_progress: Progress = lambda _: None,
    ) -> None:
        self.search = search if search is not None else MCTSConfig()
        strategy, _ = strategy_of(self.search)
        check_scorer(strategy, scorer is not None)
        self.seed = seed
        self.concurrency = concurrency
        self.on_progress = on_progress
        # The sandbox starts in the background while the model loads.
        executor = executor if executor is not None else SandboxExecutor()
        policy = load_policy(policy) if isinstance(policy, str) else policy
        scorer = load_scorer(scorer) if isinstance(scorer, str) else scorer
        self.components = Components(policy, executor, verifier or AnswerVerifier(), scorer)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="treestar-solver", daemon=True)
        self.thread.start()

    def solve(self, problem: str | Problem) -> SearchResult:
        """Search for the answer of one problem; see `solve_many`."""
        return self.solve_many([problem])[0]

    def solve_many(
        self,
        problems: Iterable[str | Problem],
        out: str | Path | None = None,
        on_result: Callable[[SearchResult], None] = lambda _: None,
    ) -> list[SearchResult]:
        """Search for the answers of many problems beside each other.

        Ctrl-C ends every search with what it has found so far; a second one gives up.

        Args:
            out: a JSON Lines file to which each result is appended as it is finished. Problems whose result is already
                there are not solved again: their results are read back, without trees.
            on_result: called with each result as it is finished or read back, from the solver's thread.

        Returns:
            One result for each problem, in the order given.

        Raises:
            ValueError: a question is empty or longer than `LONGEST_QUESTION`.
            TreestarError: the policy or the sandbox failed for good, or `out` cannot be read or written.
        """
        wanted = [as_problem(problem, index) for index, problem in enumerate(problems)]
        if out is None:
            return self.run(wanted, on_result)
        policy, scorer = self.components.policy, self.components.scorer
        settings = settings_of(policy.name, None if scorer is None else scorer.name, self.search, self.seed)
        finished = {result_key(result.problem): result for result in iter_results(Path(out), settings)}
        keys = [result_key(problem) for problem in wanted]
        for key in keys:
            if key in finished:
                on_result(finished[key])
        missing = [problem for problem, key in zip(wanted, keys, strict=True) if key not in finished]
        with appending(Path(out)) as append:

            def keep(result: SearchResult) -> None:
                append_result(append, result, settings)
                on_result(result)

            solved = self.run(missing, keep)
        finished.update({result_key(result.problem): result for result in solved})
        return [finished[key] for key in keys]

    def run(self, problems: Sequence[Problem], on_result: Callable[[SearchResult], None]) -> list[SearchResult]:
        stop = Event()
        future = self.submit(
            search_many(
                problems,
                self.search,
                self.components,
                self.seed,
                self.concurrency,
                stop,
                self.on_progress,
                lambda _, result: on_result(result),
            )
        )
        try:
            return future.result()
        except KeyboardInterrupt:
            stop.set()
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def submit(self, work: Coroutine[Any, Any, ResultT]) -> Future[ResultT]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """End the sandbox, the grader, the models' engines and connections, and the solver's thread; a closed solver
        solves no more."""
        if self.loop.is_closed():
            return
        self.submit(self.components.close()).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def __enter__(self) -> Solver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def as_problem(problem: str | Problem, index: int) -> Problem:
    """`problem` as a Problem whose question can be searched. Raises ValueError where it cannot."""
    problem = Problem(problem, id=str(index)) if isinstance(problem, str) else problem
    if not problem.question.strip():
        raise ValueError(f"problem {problem.id!r}: the question is empty")
    if len(problem.question) > LONGEST_QUESTION:
        raise ValueError(
            f"problem {problem.id!r}: the question has {len(problem.question):,} characters, "
            f"more than the {LONGEST_QUESTION:,} that are allowed"
        )
    return problem
