"""Search overhead: node expansions per second with a policy that takes no time, compared with TreeQuest's StandardMCTS.

    python bench/overhead.py [--repeats 5]

Both libraries build trees of 100, 1,000 and 10,000 nodes with 8 children per expansion and scripted steps, alternately
in the same process; small ones more often, because a tree of 100 nodes takes a millisecond. treestar merges duplicates,
executes (scripted, no time), checks answers, computes priors and backs up; its time includes choosing the answer. It is
measured in a running event loop, as `Solver` has one, and with an event loop that is made for each search, which takes
a third of a millisecond. TreeQuest calls a generate function for each node. Writes bench/results/overhead.json.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import time
from collections.abc import Coroutine
from math import isqrt
from pathlib import Path
from typing import Any

from treestar.search import Components, MCTSConfig, SearchResult, search_one
from treestar.storage.record import write_record
from treestar.types import Execution, Problem, Proposal, Sampling, Snapshot, State, Step

CHILDREN = 8
SIZES = (100, 1_000, 10_000)
LARGEST = max(SIZES)
ANSWER_DEPTH = 8


class FreePolicy:
    """Proposes ready-made distinct steps; those at depth 8 state an answer."""

    name = "free"

    def __init__(self) -> None:
        self.steps = tuple(Step(f"x = {i}", f"x = {i}", log_probability=-1.0 - i, tokens=4) for i in range(CHILDREN))
        self.answers = tuple(
            Step(f"so {i}", f"print({i})", ending="answer", answer=str(i % 3), log_probability=-1.0, tokens=4)
            for i in range(CHILDREN)
        )

    def preamble(self, problem: Problem) -> str:
        return ""

    def display(self, problem: Problem, text: str) -> str:
        return text

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return step.answer

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        steps = self.answers if len(state.steps) + 1 == ANSWER_DEPTH else self.steps
        return Proposal(steps[:n], 10, 4 * n)


class FreeInterpreter:
    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        return Execution("", None, Snapshot(0))

    async def close(self) -> None:
        pass


class FreeExecutor:
    async def open(self) -> FreeInterpreter:
        return FreeInterpreter()

    async def close(self) -> None:
        pass


class ExactVerifier:
    async def accepts(self, problem: Problem, answer: str) -> bool:
        return answer == problem.answer

    async def equivalent(self, first: str, second: str) -> bool:
        return first == second


RUNNING = asyncio.new_event_loop()
"""The event loop of all searches that do not make one."""


def treestar_rate(nodes: int) -> float:
    """Nodes per second of a treestar search that ends at `nodes` nodes, with an event loop of its own."""
    search = scripted_search(nodes)
    started = time.perf_counter()
    result = asyncio.run(search)
    return rate_of(result, nodes, time.perf_counter() - started)


def running_rate(nodes: int) -> float:
    """As `treestar_rate`, in a coroutine of an event loop that runs: so a worker awaits its searches, one by one."""

    async def timed() -> float:
        search = scripted_search(nodes)
        started = time.perf_counter()
        result = await search
        return rate_of(result, nodes, time.perf_counter() - started)

    return RUNNING.run_until_complete(timed())


def scripted_search(nodes: int) -> Coroutine[Any, Any, SearchResult]:
    """A search that ends at `nodes` nodes: its budget has 4 tokens for each."""
    config = MCTSConfig(
        max_rollouts=nodes, children=CHILDREN, max_generated_tokens=4 * nodes, gold=True, early_stop=False, max_depth=16
    )
    components = Components(FreePolicy(), FreeExecutor(), ExactVerifier())
    return search_one(Problem("how fast?", "1"), config, components)


def rate_of(result: SearchResult, nodes: int, seconds: float) -> float:
    assert result.tree is not None
    assert nodes <= len(result.tree.nodes) <= nodes + CHILDREN + 1, len(result.tree.nodes)
    return len(result.tree.nodes) / seconds


def treequest_rate(nodes: int) -> float:
    """Nodes per second of TreeQuest's StandardMCTS, stepped in place, with 8 samples per action."""
    import treequest

    algorithm = treequest.StandardMCTS(samples_per_action=CHILDREN)
    state = algorithm.init_tree()
    rng = random.Random(0)
    actions = {"step": lambda _: ("step", rng.random())}
    started = time.perf_counter()
    for _ in range(nodes):
        state = algorithm.step(state, actions, inplace=True)
    seconds = time.perf_counter() - started
    assert len(algorithm.get_state_score_pairs(state)) == nodes
    return nodes / seconds


SIDES = {"treestar": treestar_rate, "treestar, running event loop": running_rate, "treequest": treequest_rate}


def measure(repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """The rates by library and size. The libraries alternate, so that a slow phase of the machine affects both."""
    figures: dict[str, dict[str, dict[str, float]]] = {side: {} for side in SIDES}
    for nodes in SIZES:
        rates: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(repeats * isqrt(LARGEST // nodes)):
            for side, rate in SIDES.items():
                gc.collect()  # the other library's tree is full of cycles; freeing it must not be timed here
                rate(min(SIZES))  # a collection leaves cold caches, which can cost a quarter of a small search's time
                rates[side].append(rate(nodes))
        for side, each in rates.items():
            median = round(statistics.median(each))
            figures[side][str(nodes)] = {"median": median, "min": round(min(each)), "max": round(max(each))}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="of the largest trees")
    arguments = parser.parse_args()
    for rate in SIDES.values():
        rate(1_000)
    figures = {"unit": "nodes per second", **measure(arguments.repeats)}
    write_record(Path(__file__).parent / "results" / "overhead.json", figures, seed=0)


if __name__ == "__main__":
    main()
