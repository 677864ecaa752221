"""A scorer over a process preference model, on CPU or CUDA.

The states of all running searches wait in one queue. Whenever the model is free, it reads the waiting states in
batches, without the tokens that it has already read for their ancestors. It runs in its own thread, so the event loop
continues to execute steps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from treestar.policy.backends.prefix_cache import PrefixCache, read
from treestar.ppm.encoding import encode, fitting_part
from treestar.ppm.model import PPM
from treestar.types import Scores, State, TreestarError

__all__ = ["TransformersScorer"]

LINGER_SECONDS = 0.004
"""Seconds that a free model waits for more states while they keep coming; one forward pass takes longer."""


@dataclass(slots=True)
class Request:
    """The states that one search requests scores for."""

    states: Sequence[State]
    scores: asyncio.Future[Scores]


class TransformersScorer:
    """Implements `treestar.types.Scorer`. One scorer serves one event loop at a time.

    A state that exceeds the model's context scores as the longest part of it that fits (`encoding.fitting_part`).

    Args:
        max_batch: maximum number of states in one forward pass.
        prefix_cache_bytes: memory for the keys and values of prefixes that can be reused.
    """

    def __init__(self, ppm: PPM, name: str, max_batch: int = 128, prefix_cache_bytes: int = 2**30) -> None:
        self.prefixes = PrefixCache(prefix_cache_bytes)
        self.ppm = ppm
        self.name = name
        self.max_batch = max_batch
        config = ppm.model.config
        self.context: int = getattr(config, "max_position_embeddings", None) or ppm.tokenizer.model_max_length
        self.waiting: deque[Request] = deque()
        self.worker: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="treestar-score")

    async def score(self, states: Sequence[State]) -> Scores:
        """See `Scorer.score`.

        Raises:
            TreestarError: the step format gives a state no step ends, or the model ran out of memory on a single state.
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
        rows = [self.tokens_of(state) for request in requests for state in request.states]
        batches = [rows[start : start + self.max_batch] for start in range(0, len(rows), self.max_batch)]
        scored = iter([each for batch in batches for each in self.score_batch(batch)])
        answers = []
        for request in requests:
            mine = [next(scored) for _ in request.states]
            answers.append(Scores(tuple(value for value, _ in mine), sum(tokens for _, tokens in mine)))
        return answers

    def tokens_of(self, state: State) -> list[int]:
        """The tokens that the model reads for `state`."""
        return fitting_part(encode(self.ppm.tokenizer, self.ppm.step_format, state), self.context, self.name)

    def score_batch(self, rows: Sequence[list[int]]) -> list[tuple[float, int]]:
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

    def read(self, rows: Sequence[list[int]]) -> list[tuple[float, int]]:
        """For each token sequence, the score at its last token and the number of tokens that were read for it."""
        sequences = read(self.ppm.scores_of_last, rows, self.prefixes, self.ppm.model.device)
        scores = [float(sequence.output) for sequence in sequences]
        return [
            (score, len(row) - sequence.reused) for score, row, sequence in zip(scores, rows, sequences, strict=True)
        ]
