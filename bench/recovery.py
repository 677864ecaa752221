"""Measure what a search loses and how long it waits when its server is killed and restarted or its network fails.

    python bench/recovery.py plain        # the small server of the tests, over the toy model
    python bench/recovery.py vllm         # vLLM's server, in the environment of make test-vllm with reasoning-gym

`killed`: after a third of the searches, the server is killed with SIGKILL and restarted. `faults`: a proxy makes a
share of the requests fail, in several ways. Both are compared with the same searches undisturbed. Reported are the
problems without an answer that the undisturbed run answered, the trees that differ, how long the server was down, and
how long it then took until the first request was answered.

Writes bench/results/recovery_SERVER.json.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from treestar import MCTSConfig, Problem, SearchResult, Solver
from treestar.benchmarks.gym import make_problems
from treestar.policy import OpenAIPolicy
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.formats import BoundFormat
from treestar.policy.models import shipped_path
from treestar.storage.record import write_record

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.fault_proxy import Fault, FaultProxy
from support.served_policy import ServerProcess, shape
from support.vllm_server import VLLMServer

MODEL_PATH = shipped_path("policy", "toy")

CELLS = (("chain_sum", "easy"), ("leg_counting", "easy"), ("basic_arithmetic", "easy"))
SEARCH = MCTSConfig(max_rollouts=4, children=4, max_step_tokens=64, in_flight=1)
FAULTS: tuple[Fault, ...] = ("drop", "half", "500", "502", "429", "garbage", "aborted")
FAULT_SHARE = 0.05

Server = ServerProcess | VLLMServer


class Watched(OpenAIPolicy):
    """Records when requests are answered."""

    def __init__(self, url: str) -> None:
        super().__init__("toy", url, BoundFormat(), RemoteServerConfig(patience_seconds=600.0))
        self.answered: list[float] = []

    async def complete(self, *arguments: Any) -> Any:
        found = await super().complete(*arguments)
        self.answered.append(time.monotonic())
        return found


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/v1"


def search(policy: Watched, problems: list[Problem], on_progress: Callable[[Any], None] = lambda _: None) -> Any:
    started = time.monotonic()
    with Solver(policy, SEARCH, on_progress=on_progress) as solver:
        results = solver.solve_many(problems)
    return results, time.monotonic() - started


def against(undisturbed: list[SearchResult], found: list[SearchResult]) -> dict[str, int]:
    pairs = list(zip(undisturbed, found, strict=True))
    return {
        "problems_lost": sum(one.answer is not None and other.answer is None for one, other in pairs),
        "trees_that_differ": sum(shape(one) != shape(other) for one, other in pairs),
        "answers_that_differ": sum(one.answer != other.answer for one, other in pairs),
    }


def killed(server: Server, problems: list[Problem], undisturbed: list[SearchResult], waves: int) -> dict[str, Any]:
    policy, seen = Watched(url_of(server)), 0
    away: list[float] = []

    def kill_and_start() -> None:
        away.append(time.monotonic())
        server.kill()
        server.start()
        away.append(time.monotonic())

    restart = Thread(target=kill_and_start)

    def on_progress(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == waves:
            restart.start()

    results, seconds = search(policy, problems, on_progress)
    restart.join()
    first = min(each for each in policy.answered if each > away[1])
    return {
        **against(undisturbed, results),
        "seconds": round(seconds, 1),
        "seconds_away": round(away[1] - away[0], 1),
        "seconds_from_then_to_the_first_answer": round(first - away[1], 1),
        "requests_repeated": sum(policy.server.failures.values()),
    }


def faulty(server: Server, problems: list[Problem], undisturbed: list[SearchResult], seed: int) -> dict[str, Any]:
    random_numbers = random.Random(seed)

    def fault(_: int) -> Fault | None:
        return random_numbers.choice(FAULTS) if random_numbers.random() < FAULT_SHARE else None

    with FaultProxy(server.port, fault) as proxy:
        policy = Watched(proxy.url + "/v1")
        results, seconds = search(policy, problems)
        injected = dict(proxy.injected)
    return {
        **against(undisturbed, results),
        "seconds": round(seconds, 1),
        "faults": injected,
        "requests": len(policy.answered),
        "requests_repeated": sum(policy.server.failures.values()),
    }


@contextmanager
def serving(kind: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess() if kind == "plain" else VLLMServer(MODEL_PATH, Path(folder) / "log")
        try:
            yield server
        finally:
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=("plain", "vllm"))
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    problems = [
        problem
        for family, level in CELLS
        for problem in make_problems(family, level, "validation", arguments.problems // len(CELLS), seed=77)
    ]
    waves = 0

    def count(_: object) -> None:
        nonlocal waves
        waves += 1

    with serving(arguments.server) as server:
        undisturbed, seconds = search(Watched(url_of(server)), problems, count)
        figures: dict[str, Any] = {
            "problems": len(problems),
            "undisturbed": {
                "seconds": round(seconds, 1),
                "answered": sum(each.answer is not None for each in undisturbed),
            },
            "again_undisturbed": against(undisturbed, search(Watched(url_of(server)), problems)[0]),
            "killed": [killed(server, problems, undisturbed, waves // 3) for _ in range(arguments.repeats)],
            "faults": [faulty(server, problems, undisturbed, seed) for seed in range(arguments.repeats)],
        }
    write_record(Path(__file__).parent / "results" / f"recovery_{arguments.server}.json", figures, seed=77)


if __name__ == "__main__":
    main()
