"""Whether one core of engine keeps a fast backend busy: 10 000 searches in flight on a modelled GPU.

    python bench/modelled_backend.py [--seconds 60]

The modelled backend writes 50 000 tokens a second in a continuous batch: in every step of batch / 50 000 seconds each
of up to 1 024 sequences gets one token; those that end leave, those that wait join. It goes on by its own clock, so a
search engine that is late leaves places in the batch empty. Executing, judging and scoring take no time. Measured are
the share of the places that were filled, and the processor time of the thread that searches, less what modelling the
backend takes of it. A second part measures the memory of a node: the growth of Python's allocations over a large tree,
whose texts are shared.

Writes bench/results/modelled_backend.json.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import time
import tracemalloc
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from typing import Any

from overhead import ANSWER_DEPTH, ExactVerifier, FreeExecutor, FreePolicy

from treestar.search import Components, MCTSConfig, search_many, search_one
from treestar.storage.record import write_record
from treestar.types import Problem, Proposal, Sampling, State

TOKENS_PER_SECOND = 50_000
BATCH = 1_024
IN_FLIGHT = 10_000
STEP_SECONDS = BATCH / TOKENS_PER_SECOND
CHILDREN = 4
SHORTEST, LONGEST = 8, 24
"""Tokens of a step; the embedded policy's have 15 on average."""


@dataclass(slots=True)
class Waiting:
    """A proposal that is being written."""

    done: asyncio.Future[None]
    left: int
    """Sequences that have not ended."""


class Device:
    """A batch with a clock of its own."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Waiting, int]] = deque()
        """Sequences that wait for a place, with their lengths."""
        self.ending: dict[int, list[Waiting]] = {}
        """The sequences that end, by step."""
        self.active = 0
        self.step = 0
        self.filled: list[int] = []
        """For each step, how many places were filled."""
        self.own_seconds = 0.0

    async def run(self) -> None:
        started = time.perf_counter()
        while True:
            await asyncio.sleep(STEP_SECONDS)
            before = time.thread_time()
            while (self.step + 1) * STEP_SECONDS <= time.perf_counter() - started:
                self.advance()
            self.own_seconds += time.thread_time() - before

    def advance(self) -> None:
        while self.active < BATCH and self.waiting:
            request, length = self.waiting.popleft()
            self.ending.setdefault(self.step + length - 1, []).append(request)
            self.active += 1
        self.filled.append(self.active)
        for request in self.ending.pop(self.step, ()):
            self.active -= 1
            request.left -= 1
            if request.left == 0 and not request.done.done():
                request.done.set_result(None)
        self.step += 1


class ModelledPolicy(FreePolicy):
    """`FreePolicy` whose steps have to be written by the device first."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device
        self.proposals = 0

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        self.proposals += 1
        numbers = random.Random(seed)
        lengths = [numbers.randint(SHORTEST, LONGEST) for _ in range(n)]
        request = Waiting(asyncio.get_running_loop().create_future(), n)
        self.device.waiting.extend((request, length) for length in lengths)
        await request.done
        steps = self.answers if len(state.steps) + 1 == ANSWER_DEPTH else self.steps
        return Proposal(steps[:n], 80, sum(lengths))


async def keep_busy(seconds: float) -> dict[str, Any]:
    device = Device()
    policy = ModelledPolicy(device)
    config = MCTSConfig(max_rollouts=2, children=CHILDREN, gold=True, early_stop=False, max_depth=16)
    problems = [Problem(f"how fast? {index}", "1", str(index)) for index in range(2 * IN_FLIGHT)]
    stop = Event()
    timer = Timer(seconds, stop.set)
    clock, thread, running = time.perf_counter(), time.thread_time(), asyncio.create_task(device.run())
    timer.start()
    components = Components(policy, FreeExecutor(), ExactVerifier())
    search = asyncio.create_task(search_many(problems, config, components, 0, IN_FLIGHT, stop))
    while not stop.is_set():
        await asyncio.sleep(0.2)
    elapsed, busy_thread = time.perf_counter() - clock, time.thread_time() - thread
    filled, own, proposals = list(device.filled), device.own_seconds, policy.proposals
    await search
    running.cancel()
    steps_of_a_second = round(1 / STEP_SECONDS)
    return {
        "seconds": round(elapsed, 1),
        "busy_share": round(sum(filled) / (BATCH * elapsed / STEP_SECONDS), 4),
        "busy_share_after_the_first_second": round(
            sum(filled[steps_of_a_second:]) / (BATCH * len(filled[steps_of_a_second:])), 4
        ),
        "expansions": proposals,
        "engine_core_share": round((busy_thread - own) / elapsed, 3),
        "engine_microseconds_an_expansion": round(1e6 * (busy_thread - own) / proposals, 1),
    }


def bytes_of_a_node(nodes: int) -> float:
    """Python's allocations for a tree of that many nodes, by node."""
    config = MCTSConfig(
        max_rollouts=nodes, children=CHILDREN, max_generated_tokens=4 * nodes, gold=True, early_stop=False, max_depth=16
    )
    components = Components(FreePolicy(), FreeExecutor(), ExactVerifier())
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    result = asyncio.run(search_one(Problem("how large?", "1"), config, components))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert result.tree is not None
    return grown / len(result.tree.nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    figures = {
        "tokens_per_second": TOKENS_PER_SECOND,
        "batch": BATCH,
        "in_flight": IN_FLIGHT,
        "children": CHILDREN,
        "runs": [asyncio.run(keep_busy(arguments.seconds)) for _ in range(arguments.repeats)],
        "bytes_of_a_node": {str(nodes): round(bytes_of_a_node(nodes)) for nodes in (1_000, 10_000, 50_000)},
    }
    write_record(Path(__file__).parent / "results" / "modelled_backend.json", figures, seed=0)


if __name__ == "__main__":
    main()
