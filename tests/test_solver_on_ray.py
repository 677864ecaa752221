"""A Solver on a real cluster of two nodes gives the same results, trees and files as one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.ray_cluster import two_nodes

from treestar import MCTSConfig, Problem, RayConfig, SearchResult, Solver, TreestarError

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

PROBLEMS = [Problem(f"What is {number} plus 4?", str(number + 4), id=f"p{number}") for number in range(30, 36)]
SEARCH = MCTSConfig(max_rollouts=2, children=2)


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as found:
        yield found


def content(result: SearchResult) -> Any:
    """A result and its tree, without times and without last digits that depend on the batch."""
    data: dict[str, Any] = {"result": result.to_json(), "tree": result.tree and result.tree.to_json()}
    del data["result"]["stats"]["seconds"], data["result"]["stats"]["executed_seconds"]
    for node in data["tree"]["nodes"] if data["tree"] else ():
        del node["seconds"]
    return rounded(data)


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def test_results_are_those_of_one_process(cluster: Any, tmp_path: Path) -> None:
    with Solver(search=SEARCH, seed=5) as solver:
        here = solver.solve_many(PROBLEMS)
        solver.solve_many(PROBLEMS[:2], tmp_path / "results.jsonl")
    seen: list[str] = []
    with Solver(search=SEARCH, seed=5, ray=RayConfig("auto", actors=2), concurrency=2) as solver:
        there = solver.solve_many(PROBLEMS)
        bare = solver.solve_many(
            PROBLEMS, tmp_path / "results.jsonl", lambda result: seen.append(result.problem.id), trees=False
        )
        assert solver.solve(PROBLEMS[3]).answer == here[3].answer
    assert [content(each) for each in there] == [content(each) for each in here]
    assert [content(each)["result"] for each in bare] == [content(each)["result"] for each in here]
    assert all(each.tree is None for each in bare)
    assert sorted(seen) == [each.id for each in PROBLEMS]
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == len(PROBLEMS)


def test_a_failure_in_an_actor_is_said_as_in_one_process(cluster: Any) -> None:
    with pytest.raises(TreestarError, match=r"no-such-model"):
        Solver("./no-such-model", ray=RayConfig("auto", actors=1))


INTERRUPTED = """
import signal, treestar
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is born without it
config = treestar.MCTSConfig(max_rollouts=100000, early_stop=False, children=4)
solver = treestar.Solver(search=config, ray=treestar.RayConfig(actors=1))
print("ready", flush=True)
try:
    solver.solve("What is 3 plus 4?")
except KeyboardInterrupt:
    print("closed", solver.loop.is_closed())
"""


def test_ctrl_c_gives_up_and_closes_the_solver() -> None:
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(2)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert out.splitlines()[-1] == "closed True"
    assert process.returncode == 0
