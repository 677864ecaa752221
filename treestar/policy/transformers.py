"""A policy over any Hugging Face causal language model, on CPU or CUDA.

The requests of all running searches wait in one queue; whenever the model is free it takes as many of them as fit into
one batch. Generation runs in a thread of its own, so the event loop goes on executing steps meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from treestar.policy.format import StepFormat
from treestar.types import ContextOverflow, Execution, Problem, Proposal, Sampling, State, Step, TreestarError

__all__ = ["TransformersPolicy"]

LINGER_SECONDS = 0.004
"""How long a free model waits for further requests while they keep coming; one forward pass takes longer."""


@dataclass(slots=True)
class Request:
    """`n` continuations of one prompt, wanted by one search."""

    state: State
    prompt: list[int]
    n: int
    sampling: Sampling
    seed: int
    stop_strings: tuple[str, ...]
    proposal: asyncio.Future[Proposal]


@dataclass(slots=True)
class Row:
    """One sequence of a batch: candidate `index` of a request."""

    request: Request
    index: int


class TransformersPolicy:
    """Implements `treestar.types.Policy`. One policy serves one event loop at a time.

    Args:
        model: a causal language model as `from_pretrained` gives it.
        tokenizer: its tokenizer.
        step_format: the form of the step format that the model speaks.
        max_batch: most sequences of one batch.
    """

    def __init__(self, model: Any, tokenizer: Any, step_format: StepFormat, name: str, max_batch: int = 128) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.format = step_format
        self.name = name
        self.max_batch = max_batch
        self.context: int = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
        self.pad_token: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        ends = model.generation_config.eos_token_id
        self.end_tokens = {self.pad_token, *([ends] if isinstance(ends, int) else ends or [])}
        """Tokens after which a row of a batch holds nothing but padding."""
        self.waiting: deque[Request] = deque()
        self.worker: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="treestar-generate")

    def preamble(self, problem: Problem) -> str:
        return self.format.preamble(problem)

    def display(self, problem: Problem, text: str) -> str:
        return self.format.display(problem, text)

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return self.format.final_answer(step, execution)

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`.

        Raises:
            ContextOverflow: prompt and longest step together exceed the model's context.
            TreestarError: the model ran out of memory on a single sequence.
        """
        prompt = self.tokenizer(self.format.prompt(state), add_special_tokens=False, verbose=False)["input_ids"]
        if len(prompt) + sampling.max_tokens > self.context:
            raise ContextOverflow(
                f"{len(prompt)} tokens of prompt and a step of up to {sampling.max_tokens} exceed the "
                f"{self.context} tokens of {self.name}'s context"
            )
        future: asyncio.Future[Proposal] = asyncio.get_running_loop().create_future()
        self.waiting.append(Request(state, prompt, n, sampling, seed, self.format.stop_strings(state), future))
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self.serve())
        return await future

    async def serve(self) -> None:
        """Generate batch after batch until no request waits."""
        loop = asyncio.get_running_loop()
        while self.waiting:
            await self.gather_requests()
            requests = self.take_batch()
            try:
                proposals = await loop.run_in_executor(self.thread, self.generate, requests)
            except Exception as error:
                for request in requests:
                    if not request.proposal.done():
                        request.proposal.set_exception(error)
                continue
            for request, proposal in zip(requests, proposals, strict=True):
                if not request.proposal.done():
                    request.proposal.set_result(proposal)

    async def gather_requests(self) -> None:
        """Wait while further requests keep coming and the batch has room for them."""
        seen = 0
        while seen < len(self.waiting) < self.max_batch:
            seen = len(self.waiting)
            await asyncio.sleep(LINGER_SECONDS)

    def take_batch(self) -> list[Request]:
        """The longest-waiting requests that can share a batch: same stop strings and step length, room for their rows.

        Searches that gave up meanwhile (a cancelled future) are dropped.
        """
        batch: list[Request] = []
        passed: list[Request] = []
        rows = 0
        while self.waiting:
            request = self.waiting.popleft()
            if request.proposal.done():
                continue
            alike = not batch or (
                request.stop_strings == batch[0].stop_strings
                and request.sampling.max_tokens == batch[0].sampling.max_tokens
            )
            if alike and (not batch or rows + request.n <= self.max_batch):
                batch.append(request)
                rows += request.n
            else:
                passed.append(request)
        self.waiting.extend(passed)
        return batch

    def generate(self, requests: list[Request]) -> list[Proposal]:
        """Continue every request's prompt; runs in the generating thread."""
        rows = [Row(request, index) for request in requests for index in range(request.n)]
        batches = [rows[start : start + self.max_batch] for start in range(0, len(rows), self.max_batch)]
        steps = iter([step for batch in batches for step in self.generate_rows(batch)])
        proposals = []
        for request in requests:
            candidates = tuple(next(steps) for _ in range(request.n))
            generated = sum(step.tokens for step in candidates)
            proposals.append(Proposal(candidates, len(request.prompt), generated))
        return proposals

    def generate_rows(self, rows: list[Row]) -> list[Step]:
        """One batch through `generate`; a batch too big for the memory is halved.

        Raises:
            TreestarError: not even one sequence fits.
        """
        import torch

        try:
            return self.generate_batch(rows)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                raise TreestarError(
                    f"{self.name} ran out of memory on one sequence of {len(rows[0].request.prompt)} tokens: "
                    "use a smaller model, a shorter max_step_tokens, or a device with more memory"
                ) from error
        half = len(rows) // 2
        return self.generate_rows(rows[:half]) + self.generate_rows(rows[half:])

    def generate_batch(self, rows: list[Row]) -> list[Step]:
        import torch
        from transformers import GenerationConfig

        from treestar.policy.sampling import SeededSampling, uniforms

        device = self.model.device
        request = rows[0].request
        prompts = [row.request.prompt for row in rows]
        longest = max(map(len, prompts))
        input_ids = torch.tensor([[self.pad_token] * (longest - len(prompt)) + prompt for prompt in prompts])
        attention = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        draws = [uniforms(row.request.seed, row.index, request.sampling.max_tokens) for row in rows]
        numbers = torch.tensor(draws, device=device)
        chooser = SeededSampling([row.request.sampling for row in rows], numbers, longest)
        with torch.inference_mode():
            sequences = self.model.generate(
                input_ids.to(device),
                attention_mask=attention.to(device),
                logits_processor=[chooser],
                tokenizer=self.tokenizer,
                generation_config=GenerationConfig(
                    max_new_tokens=request.sampling.max_tokens,
                    do_sample=False,
                    stop_strings=list(request.stop_strings),
                    pad_token_id=self.pad_token,
                    eos_token_id=sorted(self.end_tokens),
                ),
            )
        log_probabilities = torch.stack(chooser.log_probabilities, dim=1).tolist()
        continuations = sequences[:, longest:].tolist()
        return [self.step(*each) for each in zip(rows, continuations, log_probabilities, strict=True)]

    def step(self, row: Row, tokens: list[int], log_probabilities: list[float]) -> Step:
        """The step in one row's new tokens, which end at a stop string, an end-of-sequence token or the limit."""
        end = next((place for place, token in enumerate(tokens) if token in self.end_tokens), len(tokens))
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=False)
        stopped = any(stop in text for stop in row.request.stop_strings)
        ended = end < len(tokens) and not stopped
        count = end + ended
        step = self.format.parse(row.request.state, text, ended)
        return replace(step, tokens=count, log_probability=sum(log_probabilities[:count]))
