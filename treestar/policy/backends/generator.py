"""Generates continuations for all callers, in one thread that keeps one batch running.

Whenever there is room, waiting prompts are read (only beyond what is in the prefix cache) and their continuations join
the batch, those of earlier searches first. Each leaves as soon as it ends, and what was computed for it stays in the
prefix cache.
"""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from treestar.policy.backends.batch_memory import columns_at_once, tokens_that_fit
from treestar.policy.backends.decoding import DecodingBatch, choose_next
from treestar.policy.backends.distinct import Branch, NextTokens, extend, next_tokens
from treestar.policy.backends.generated import Generated, Generation
from treestar.policy.backends.prefix_cache import PrefixCache, parts_of, read, window_of
from treestar.policy.backends.request import CandidateRow, Request
from treestar.policy.backends.sampling import uniforms
from treestar.types import TokenLogProbability, TreestarError

__all__ = ["Generator"]

LINGER_SECONDS = 0.004
"""How long an idle model waits for more requests while they keep arriving; one forward pass takes longer."""

RESERVED_TOKENS = 256
"""New tokens for which a continuation that joins has to find room, if it may have as many; few have more."""

JOIN_SHARE = 8
"""New continuations join a running batch once they are at least a JOIN_SHARE-th of it: reading their prompts costs a
separate forward pass."""


class Generator:
    """One model, one batch, one thread.

    Args:
        model: a causal language model as `from_pretrained` gives it.
        end_tokens: tokens that end a sequence.
        max_batch: maximum number of sequences in the batch, fewer if their prompts are long (`tokens_that_fit`); those
            of a request for distinct ones are counted as they branch, and may exceed it.
        prefix_cache_bytes: memory for keys and values of prefixes that may be needed again.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, end_tokens: set[int], max_batch: int, prefix_cache_bytes: int
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.end_tokens = end_tokens
        self.max_batch = max_batch
        self.most_tokens = tokens_that_fit(model)
        """Of all prompts and continuations in the batch, padding included."""
        self.prefixes = PrefixCache(prefix_cache_bytes)
        self.batch: DecodingBatch[CandidateRow] = DecodingBatch(model)
        self.joining: list[CandidateRow] = []
        """Candidates whose prompts are being read."""
        self.waiting: list[CandidateRow] = []
        """By turn, and of one turn in the order in which they came."""
        self.lock = threading.Lock()
        """Guards `waiting` and `running`."""
        self.running = False
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="treestar-generate")
        self.token_texts: dict[int, str] = {}

    def submit(self, request: Request) -> None:
        """Queue a request; its future is resolved from the generating thread."""
        with self.lock:
            self.queue(self.candidates(request))
            if not self.running:
                self.running = True
                self.thread.submit(self.run)

    def queue(self, candidates: Iterable[CandidateRow]) -> None:
        """Add to `waiting`; its lock must be held."""
        for candidate in candidates:
            insort(self.waiting, candidate, key=CandidateRow.turn)

    def candidates(self, request: Request) -> list[CandidateRow]:
        """What a request starts with: its continuations, or the common beginning of all distinct ones."""
        prompt, sampling = request.prompt, request.sampling
        if sampling.distinct:
            return [CandidateRow(list(prompt), len(prompt), sampling, [], request=request, index=0)]
        numbers = [uniforms(request.seed, index, sampling.max_tokens) for index in range(request.n)]
        return [
            CandidateRow(list(prompt), len(prompt), sampling, each, request=request, index=index)
            for index, each in enumerate(numbers)
        ]

    def run(self) -> None:
        """Generate until nothing is left to do."""
        self.linger()
        while self.any_left():
            try:
                self.advance()
            except torch.OutOfMemoryError:
                self.shrink()
            except Exception as error:  # whatever the model raises is for those who wait for it
                self.fail(error)

    def linger(self) -> None:
        """Wait while more requests keep arriving and the batch has room for them."""
        seen = 0
        while seen < len(self.waiting) < self.max_batch:
            seen = len(self.waiting)
            time.sleep(LINGER_SECONDS)

    def any_left(self) -> bool:
        with self.lock:
            self.running = bool(self.waiting or self.batch.rows)
            return self.running

    def advance(self) -> None:
        """One step of the batch, after removing canceled requests and admitting waiting ones."""
        self.leave(row for row in self.batch.rows if row.request.done.done())
        self.joining = self.take_waiting()
        if self.joining:
            self.join(self.joining)
            self.joining = []
            self.let_go()
        if self.batch.rows:
            self.continue_rows(self.batch.step())
            self.let_go()

    def take_waiting(self) -> list[CandidateRow]:
        """The candidates whose turn it is to join now."""
        with self.lock:
            self.waiting = [candidate for candidate in self.waiting if not candidate.request.done.done()]
            room = self.room()
            if room * JOIN_SHARE < len(self.batch.rows):
                return []
            taken, self.waiting = self.waiting[:room], self.waiting[room:]
            return taken

    def room(self) -> int:
        """How many of the waiting candidates can join: as many as the batch may have and as fit into memory, but at
        least one if the batch is empty."""
        rows, most = len(self.batch.rows), min(self.max_batch - len(self.batch.rows), len(self.waiting))
        prompts: set[Request] = set()
        longest = max((prompt.length for prompt in self.batch.prompts), default=0)
        reserved = max((reserved_tokens(row) for row in self.batch.rows), default=0)
        for count in range(most):
            candidate = self.waiting[count]
            prompts.add(candidate.request)
            longest, reserved = max(longest, candidate.prompt), max(reserved, reserved_tokens(candidate))
            of_prompts = (len(self.batch.prompts) + len(prompts)) * longest
            if rows + count > 0 and of_prompts + (rows + count + 1) * reserved > self.most_tokens:
                return count
        return most

    def join(self, candidates: Sequence[CandidateRow]) -> None:
        """Read the prompts, give every candidate its first token, and let it join the batch."""
        by_prompt: dict[tuple[int, ...], list[CandidateRow]] = {}
        for candidate in candidates:
            by_prompt.setdefault(tuple(candidate.request.prompt), []).append(candidate)
        prompts, window, columns = list(by_prompt), window_of(self.model.config), columns_at_once(self.model)
        for part in parts_of(prompts, columns):
            sequences = read(self.forward, prompts[part], self.prefixes, self.model.device, columns, window=window)
            for prompt, sequence in zip(prompts[part], sequences, strict=True):
                self.batch.join(self.begin(by_prompt[prompt], sequence.output[None]), sequence.keys_values)

    def begin(self, candidates: Sequence[CandidateRow], logits: torch.Tensor) -> list[CandidateRow]:
        """Give candidates of one prompt their first tokens; beginnings of distinct continuations branch into several.

        Args:
            logits: shape (1, vocabulary).
        """
        begun = [each for each in candidates if not each.sampling.distinct]
        self.sample(begun, logits.expand(len(begun), -1))
        for root in candidates:
            if root.sampling.distinct:
                for branch in self.branches([root], next_tokens(logits, [root.sampling])):
                    begun.append(root.twin())
                    begun[-1].follow(branch)
        return begun

    def continue_rows(self, logits: torch.Tensor) -> None:
        """Give every row its next token; `logits` has shape (rows, vocabulary)."""
        independent = [row for row in self.batch.rows if not row.sampling.distinct]
        groups = by_request(row for row in self.batch.rows if row.sampling.distinct)
        self.sample(independent, logits[[row.row for row in independent]])
        if groups:
            beginnings = [row for rows in groups for row in rows]
            following = next_tokens(logits[[row.row for row in beginnings]], [row.sampling for row in beginnings])
            first = 0
            for rows in groups:
                self.branch(rows, following.of(slice(first, first + len(rows))))
                first += len(rows)

    def sample(self, rows: Sequence[CandidateRow], logits: torch.Tensor) -> None:
        """Give independent continuations their next tokens; `logits` has shape (rows, vocabulary)."""
        if rows:
            choose_next(rows, logits)
        for row in rows:
            row.request.tokens += 1

    def branch(self, rows: Sequence[CandidateRow], following: NextTokens) -> None:
        """Continue the beginnings of one request as their best branches."""
        children: dict[int, list[Branch]] = {}
        for branch in self.branches(rows, following):
            children.setdefault(branch.parent, []).append(branch)
        for place, row in enumerate(rows):
            if place not in children:
                self.batch.leave(row)
                continue
            twins = [row.twin() for _ in children[place][1:]]
            for twin in twins:
                self.batch.fork(row, twin)
            for each, branch in zip([row, *twins], children[place], strict=True):
                each.follow(branch)
        if not children:  # those that have ended leave no place for others
            self.hand_over(rows[0].request)

    def branches(self, rows: Sequence[CandidateRow], following: NextTokens) -> list[Branch]:
        """How the beginnings of one request continue; continuations that have ended may lose their places."""
        request = rows[0].request
        # In order of their keys, so that the noise does not depend on which row a beginning has.
        order = sorted(range(len(rows)), key=lambda place: -rows[place].beam.key)
        noise = np.empty(following.tokens.shape)
        noise[order] = request.noise.random(noise.shape) + np.finfo(float).tiny
        found, kept = extend(
            [row.beam for row in rows],
            following,
            [each.beam for each in request.ended],
            request.n,
            request.sampling.min_share,
            noise,
        )
        request.ended = [request.ended[place] for place in kept]
        request.tokens += len(found)
        return found

    def forward(self, **inputs: Any) -> torch.Tensor:
        logits: torch.Tensor = self.model(**inputs, use_cache=True, logits_to_keep=1).logits
        return logits

    def let_go(self) -> None:
        """Remove the candidates that have ended from the batch and hand them over."""
        ended = [candidate for candidate in self.batch.rows if self.has_ended(candidate)]
        for candidate in ended:
            self.prefixes.store(candidate.tokens, self.batch.known(candidate))
            candidate.request.ended.append(candidate)
        self.leave(ended)
        continuing = {row.request for row in self.batch.rows} if ended else set()
        for request in dict.fromkeys(each.request for each in ended):
            complete = request not in continuing if request.sampling.distinct else len(request.ended) == request.n
            if complete:
                self.hand_over(request)

    def leave(self, candidates: Iterable[CandidateRow]) -> None:
        for candidate in list(candidates):
            self.batch.leave(candidate)

    def has_ended(self, candidate: CandidateRow) -> bool:
        last, new = candidate.tokens[-1], len(candidate.tokens) - candidate.prompt
        if last in self.end_tokens or new >= candidate.sampling.max_tokens:
            return True
        stops = candidate.request.stop_strings
        # Only a token with a stop string's last character can complete it, and most tokens do not have one.
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

    def hand_over(self, request: Request) -> None:
        request.ended.sort(key=lambda each: (-each.beam.key, each.index))
        generated = Generation([self.generated(each) for each in request.ended], request.tokens)
        if request.done.set_running_or_notify_cancel():
            request.done.set_result(generated)

    def generated(self, candidate: CandidateRow) -> Generated:
        new = candidate.tokens[candidate.prompt :]
        ended = new[-1] in self.end_tokens
        kept = new[:-1] if ended else new
        text = self.tokenizer.decode(kept, skip_special_tokens=False)
        log_probability, confidences = sum(candidate.log_probabilities), tuple(candidate.confidences)
        end_token = new[-1] if ended else None
        of_tokens: tuple[TokenLogProbability, ...] = ()
        if candidate.sampling.token_log_probabilities:
            of_tokens = tuple(map(TokenLogProbability, map(self.text_of, new), candidate.log_probabilities))
        return Generated(text, ended, len(new), log_probability, tuple(kept), confidences, end_token, of_tokens)

    def shrink(self) -> None:
        """Out of memory: start again with half as many sequences at a time."""
        active = self.active()
        requests = list(dict.fromkeys(each.request for each in active))
        if len(active) == 1 or (len(requests) == 1 and active[0].sampling.distinct):
            what = "one sequence" if len(active) == 1 else f"{len(active)} distinct sequences"
            message = (
                f"{self.name} ran out of memory on {what} of {active[0].prompt} tokens: use a smaller model, a "
                "shorter max_step_tokens, or a device with more memory"
            )
            self.fail(TreestarError(message))
            return
        self.max_batch = min(self.max_batch, len(active)) // 2
        self.clear()
        torch.cuda.empty_cache()
        again = [candidate for request in requests for candidate in self.begin_again(request)]
        with self.lock:
            self.queue(again)

    def begin_again(self, request: Request) -> list[CandidateRow]:
        """All candidates of a request, from the start; those that were waiting are dropped."""
        request.begin()
        with self.lock:
            self.waiting = [each for each in self.waiting if each.request is not request]
        return self.candidates(request)

    def fail(self, error: Exception) -> None:
        """Give up on the requests in the batch."""
        active = self.active()
        self.clear()
        for candidate in active:
            if not candidate.request.done.done() and candidate.request.done.set_running_or_notify_cancel():
                candidate.request.done.set_exception(error)

    def active(self) -> list[CandidateRow]:
        """All candidates that are in the batch or joining it."""
        return self.batch.rows + [candidate for candidate in self.joining if candidate not in self.batch.rows]

    def clear(self) -> None:
        self.joining = []
        self.batch = DecodingBatch(self.model)


def reserved_tokens(row: CandidateRow) -> int:
    """For how many new tokens a continuation has room at least."""
    return max(len(row.tokens) - row.prompt, min(row.sampling.max_tokens, RESERVED_TOKENS))


def by_request(rows: Iterable[CandidateRow]) -> list[list[CandidateRow]]:
    """The rows of each request, in the order of each request's first row."""
    groups: dict[Request, list[CandidateRow]] = {}
    for row in rows:
        groups.setdefault(row.request, []).append(row)
    return list(groups.values())
