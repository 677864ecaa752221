"""Generates continuations for all who ask, in one thread that keeps one batch going.

Whenever there is room, prompts that wait are read (only beyond what the prefix cache knows) and their continuations
join the batch. Each leaves as soon as it ends, and what was computed for it stays in the prefix cache.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from treestar.policy.decoding import Continuation, DecodingBatch, choose_next
from treestar.policy.local import Generated
from treestar.policy.prefix_cache import PrefixCache, read
from treestar.policy.sampling import uniforms
from treestar.types import Sampling, TreestarError

__all__ = ["Generator", "Request"]

LINGER_SECONDS = 0.004
"""How long an idle model waits for further requests while they keep coming; one forward pass takes longer."""

JOIN_SHARE = 8
"""New continuations join a running batch once they are at least a JOIN_SHARE-th of it: reading their prompts costs a
forward pass of its own."""


@dataclass(slots=True, eq=False)
class Request:
    """`n` continuations of one prompt."""

    prompt: list[int]
    n: int
    sampling: Sampling
    seed: int
    stop_strings: tuple[str, ...]
    done: Future[list[Generated]] = field(default_factory=Future)
    """Resolved when all continuations have ended; cancel it, and they are dropped."""
    finished: dict[int, Generated] = field(default_factory=dict)
    """Continuations that have ended, by index."""


@dataclass(slots=True, eq=False, kw_only=True)
class Candidate(Continuation):
    """Continuation `index` of a request."""

    request: Request
    index: int


class Generator:
    """One model, one batch, one thread.

    Args:
        model: a causal language model as `from_pretrained` gives it.
        end_tokens: tokens that end a sequence.
        max_batch: most sequences of the batch.
        prefix_cache_bytes: memory for keys and values of prefixes that may come again.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, end_tokens: set[int], max_batch: int, prefix_cache_bytes: int
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.end_tokens = end_tokens
        self.max_batch = max_batch
        self.prefixes = PrefixCache(prefix_cache_bytes)
        self.batch: DecodingBatch[Candidate] = DecodingBatch(model)
        self.joining: list[Candidate] = []
        """Candidates whose prompts are being read."""
        self.waiting: deque[Candidate] = deque()
        self.lock = threading.Lock()
        """Guards `waiting` and `running`."""
        self.running = False
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="treestar-generate")
        self.token_texts: dict[int, str] = {}

    def submit(self, request: Request) -> None:
        """Queue a request; its future is resolved from the generating thread."""
        with self.lock:
            self.waiting.extend(self.candidate(request, index) for index in range(request.n))
            if not self.running:
                self.running = True
                self.thread.submit(self.run)

    def candidate(self, request: Request, index: int) -> Candidate:
        numbers = uniforms(request.seed, index, request.sampling.max_tokens)
        prompt = request.prompt
        return Candidate(list(prompt), len(prompt), request.sampling, numbers, request=request, index=index)

    def run(self) -> None:
        """Generate until nothing is left to do."""
        self.linger()
        while self.any_left():
            try:
                self.advance()
            except torch.OutOfMemoryError:
                self.shrink()
            except Exception as error:  # whatever the model raises belongs to those who wait for it
                self.fail(error)

    def linger(self) -> None:
        """Wait while further requests keep coming and the batch has room for them."""
        seen = 0
        while seen < len(self.waiting) < self.max_batch:
            seen = len(self.waiting)
            time.sleep(LINGER_SECONDS)

    def any_left(self) -> bool:
        with self.lock:
            self.running = bool(self.waiting or self.batch.rows)
            return self.running

    def advance(self) -> None:
        """One step of the batch, after dropping who gave up and letting in who waits."""
        self.leave(row for row in self.batch.rows if row.request.done.done())
        self.joining = self.take_waiting()
        if self.joining:
            self.join(self.joining)
            self.joining = []
            self.let_go()
        if self.batch.rows:
            self.batch.step()
            self.let_go()

    def take_waiting(self) -> list[Candidate]:
        """The longest-waiting candidates that should join now."""
        with self.lock:
            self.waiting = deque(candidate for candidate in self.waiting if not candidate.request.done.done())
            room = min(self.max_batch - len(self.batch.rows), len(self.waiting))
            if room * JOIN_SHARE < len(self.batch.rows):
                return []
            return [self.waiting.popleft() for _ in range(room)]

    def join(self, candidates: Sequence[Candidate]) -> None:
        """Read the prompts, give every candidate its first token, and let it join the batch."""
        by_prompt: dict[tuple[int, ...], list[Candidate]] = {}
        for candidate in candidates:
            by_prompt.setdefault(tuple(candidate.request.prompt), []).append(candidate)
        sequences = read(self.forward, list(by_prompt), self.prefixes, self.model.device)
        for same, sequence in zip(by_prompt.values(), sequences, strict=True):
            choose_next(same, sequence.output.expand(len(same), -1))
            self.batch.join(same, sequence.keys_values)

    def forward(self, **inputs: Any) -> torch.Tensor:
        logits: torch.Tensor = self.model(**inputs, use_cache=True, logits_to_keep=1).logits
        return logits

    def let_go(self) -> None:
        """Take the candidates that have ended out of the batch and hand them over."""
        ended = [candidate for candidate in self.batch.rows if self.has_ended(candidate)]
        for candidate in ended:
            self.prefixes.store(candidate.tokens, self.batch.known(candidate))
            self.hand_over(candidate)
        self.leave(ended)

    def leave(self, candidates: Iterable[Candidate]) -> None:
        for candidate in list(candidates):
            self.batch.leave(candidate)

    def has_ended(self, candidate: Candidate) -> bool:
        last, new = candidate.tokens[-1], len(candidate.tokens) - candidate.prompt
        if last in self.end_tokens or new >= candidate.sampling.max_tokens:
            return True
        stops = candidate.request.stop_strings
        # Only a token with a stop string's last character can complete it, and most tokens have none.
        if not any(stop[-1] in self.text_of(last) for stop in stops):
            return False
        # A token may hold less than one character, so the tail is a little longer than the longest stop string.
        tail = candidate.tokens[max(candidate.prompt, len(candidate.tokens) - max(map(len, stops)) - 8) :]
        text = self.tokenizer.decode(tail, skip_special_tokens=False)
        return any(stop in text for stop in stops)

    def text_of(self, token: int) -> str:
        text = self.token_texts.get(token)
        if text is None:
            text = self.token_texts[token] = str(self.tokenizer.decode([token], skip_special_tokens=False))
        return text

    def hand_over(self, candidate: Candidate) -> None:
        request, new = candidate.request, candidate.tokens[candidate.prompt :]
        ended = new[-1] in self.end_tokens
        text = self.tokenizer.decode(new[:-1] if ended else new, skip_special_tokens=False)
        request.finished[candidate.index] = Generated(text, ended, len(new), sum(candidate.log_probabilities))
        if len(request.finished) == request.n and request.done.set_running_or_notify_cancel():
            request.done.set_result([request.finished[index] for index in range(request.n)])

    def shrink(self) -> None:
        """The memory ran out: begin anew with half as many sequences at a time."""
        active = self.active()
        if len(active) == 1:
            message = (
                f"{self.name} ran out of memory on one sequence of {active[0].prompt} tokens: use a smaller model, a "
                "shorter max_step_tokens, or a device with more memory"
            )
            self.fail(TreestarError(message))
            return
        self.max_batch = len(active) // 2
        self.clear()
        torch.cuda.empty_cache()
        with self.lock:
            self.waiting.extendleft(self.candidate(each.request, each.index) for each in reversed(active))

    def fail(self, error: Exception) -> None:
        """Give up on the requests in the batch."""
        active = self.active()
        self.clear()
        for candidate in active:
            if not candidate.request.done.done() and candidate.request.done.set_running_or_notify_cancel():
                candidate.request.done.set_exception(error)

    def active(self) -> list[Candidate]:
        """All candidates that are in the batch or joining it."""
        return self.batch.rows + [candidate for candidate in self.joining if candidate not in self.batch.rows]

    def clear(self) -> None:
        self.joining = []
        self.batch = DecodingBatch(self.model)
