"""The requests of the tests to the toy model behind a server, and such a server in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from treestar import MCTSConfig, SearchResult, Solver
from treestar.cli.problem_file import read_problems
from treestar.policy import OpenAIPolicy
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.formats import BoundFormat
from treestar.policy.models import problems_path
from treestar.types import Policy, Proposal, Sampling, State

PROBLEMS = read_problems(problems_path("toy"))[0][:3]
SEARCH = MCTSConfig(max_rollouts=2, children=3, max_step_tokens=64)


class ServerProcess:
    """A server process that can be killed and restarted on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("completion_server.py")
        command = [sys.executable, str(script), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def policy_at(port_or_url: int | str, model: str = "toy", patience: float = 60.0, **more: Any) -> OpenAIPolicy:
    url = f"http://127.0.0.1:{port_or_url}" if isinstance(port_or_url, int) else port_or_url
    config = RemoteServerConfig(patience_seconds=patience, timeout_seconds=more.pop("timeout", 60.0))
    return OpenAIPolicy(model, url, more.pop("step_format", BoundFormat()), config, **more)


def propose(policy: OpenAIPolicy, *requests: tuple[State, int, Sampling, int]) -> list[Proposal]:
    """Send all requests concurrently."""

    async def together() -> list[Proposal]:
        try:
            return await asyncio.gather(*(policy.propose(*request) for request in requests))
        finally:
            await policy.close()

    return asyncio.run(together())


def texts(proposal: Proposal) -> list[str]:
    return [step.text for step in proposal.steps]


def solve(policy: Policy, out: Path | None = None, **more: Any) -> list[SearchResult]:
    with Solver(policy, SEARCH, **more) as solver:
        return solver.solve_many(PROBLEMS, out)


def shape(result: SearchResult) -> list[tuple[Any, ...]]:
    """A tree without times and probabilities, which the server's batches can round differently."""
    assert result.tree is not None
    names = ("parent", "text", "output", "error", "tokens", "visits", "value_sum", "terminal", "answer", "multiplicity")
    return [tuple(node[name] for name in names) for node in result.tree.to_json()["nodes"]]
