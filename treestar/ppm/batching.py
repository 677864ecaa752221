"""Gathers the states of all running searches into batches for one model on this machine.

Whenever the model is free, it reads the waiting states. It runs in its own thread, so the event loop continues to
execute steps.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from treestar.types import Scores, State, TreestarError

__all__ = ["BatchedScorer"]

LINGER_SECONDS = 0.004
"""Seconds that a free model waits for more states while they keep coming; one forward pass takes longer."""

RowT = TypeVar("RowT", bound=Sized)


@dataclass(slots=True)
class Request:
    """The states that one search requests scores for."""

    states: Sequence[State]
    scores: asyncio.Future[Scores]


class BatchedScorer(ABC, Generic[RowT]):
    """Implements `treestar.types.Scorer`. One scorer serves one event loop at a time.

    Args:
        max_batch: maximum number of states in one forward pass.
    """

    of_paths: ClassVar[bool] = False
    """See `Scores.of_paths`."""

    def __init__(self, name: str, max_batch: int) -> None:
        self.name = name
        self.max_batch = max_batch
        self.waiting: deque[Request] = deque()
        self.worker: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="treestar-score")

    @abstractmethod
    def row_of(self, state: State) -> RowT:
        """What the model reads for `state`; its length is the number of its tokens."""

    @abstractmethod
    def read(self, rows: Sequence[RowT]) -> list[tuple[float, int]]:
        """For each row the score in [-1, 1], and the number of tokens that were read for it."""

    async def score(self, states: Sequence[State]) -> Scores:
        """See `Scorer.score`.

        Raises:
            TreestarError: a state cannot be written as the model reads it, or the model ran out of memory on a single
                state.
        """
        future: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        self.waiting.append(Request(states, future))
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self.serve())
        return await future

    async def serve(self) -> None:
        """Score waiting states until none are left."""
        loop = asyncio.get_running_loop()
        while self.waiting:
            await self.gather_requests()
            # A search that was stopped in the meantime has canceled its future.
            requests = [request for request in self.waiting if not request.scores.done()]
            self.waiting.clear()
            try:
                outcome: list[Scores] | Exception = await loop.run_in_executor(self.thread, self.answer, requests)
            except Exception as error:  # whatever the model raises is passed to the searches that wait
                outcome = error
            for index, request in enumerate(requests):
                if request.scores.done():
                    continue
                if isinstance(outcome, Exception):
                    request.scores.set_exception(outcome)
                else:
                    request.scores.set_result(outcome[index])

    async def gather_requests(self) -> None:
        """Wait while more requests keep coming and one batch has room for them."""
        seen = 0
        while seen < len(self.waiting) and sum(len(request.states) for request in self.waiting) < self.max_batch:
            seen = len(self.waiting)
            await asyncio.sleep(LINGER_SECONDS)

    def answer(self, requests: Sequence[Request]) -> list[Scores]:
        """Score every request's states; runs in the scoring thread."""
        rows = [self.row_of(state) for request in requests for state in request.states]
        batches = [rows[start : start + self.max_batch] for start in range(0, len(rows), self.max_batch)]
        scored = iter([each for batch in batches for each in self.score_batch(batch)])
        answers = []
        for request in requests:
            mine = [next(scored) for _ in request.states]
            values, tokens = tuple(value for value, _ in mine), sum(tokens for _, tokens in mine)
            answers.append(Scores(values, tokens, self.of_paths))
        return answers

    def score_batch(self, rows: Sequence[RowT]) -> list[tuple[float, int]]:
        """Like `read`, but a batch that is too large for the memory is halved.

        Raises:
            TreestarError: not even one sequence fits.
        """
        import torch

        try:
            return self.read(rows)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                raise TreestarError(
                    f"{self.name} ran out of memory on one state of {len(rows[0])} tokens: use a smaller model, or a "
                    "device with more memory"
                ) from error
        half = len(rows) // 2
        return self.score_batch(rows[:half]) + self.score_batch(rows[half:])
