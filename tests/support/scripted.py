"""Scripted parts for search tests: policy, interpreter, scorer and verifier with known results."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from treestar.search import Components, Node
from treestar.types import Execution, Policy, Problem, Proposal, Sampling, Scores, Snapshot, State, Step

Script = Callable[[State, int, int], Sequence[Step]]
"""(state, n, seed) -> the n candidate steps."""


@dataclass
class ScriptedPolicy(Policy):
    """Proposes the steps of `script`. Tokens: one per character of text; the prompt counts one per step."""

    script: Script
    name: str = "scripted"
    calls: int = 0

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        self.calls += 1
        steps = tuple(self.script(state, n, seed))
        return Proposal(steps, len(state.steps), sum(step.tokens for step in steps))


class SlowPolicy(ScriptedPolicy):
    """Responds after a delay that differs from call to call, so that searches interleave at random."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        await asyncio.sleep(random.random() / 500)
        return await super().propose(state, n, sampling, seed)


class ScriptedInterpreter:
    """Fails for code that begins with `raise`, and otherwise prints the code."""

    def __init__(self) -> None:
        self.closed = False

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        if code.startswith("raise"):
            return Execution(error="Exception: scripted")
        return Execution(output=code, snapshot=Snapshot(0))

    async def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedExecutor:
    opened: list[ScriptedInterpreter] = field(default_factory=list)

    async def open(self) -> ScriptedInterpreter:
        self.opened.append(ScriptedInterpreter())
        return self.opened[-1]

    async def close(self) -> None:
        pass


class ExactVerifier:
    """Answers are equal if their strings are."""

    async def accepts(self, problem: Problem, answer: str) -> bool:
        return problem.answer == answer

    async def equivalent(self, first: str, second: str) -> bool:
        return first == second


@dataclass
class ScriptedScorer:
    """Scores by `rate`. Tokens: one per step."""

    rate: Callable[[State], float]
    name: str = "scripted"
    of_paths: bool = False

    async def score(self, states: Sequence[State]) -> Scores:
        values = tuple(self.rate(state) for state in states)
        return Scores(values, sum(len(state.steps) for state in states), self.of_paths)


def components(script: Script, rate: Callable[[State], float] | None = None, of_paths: bool = False) -> Components:
    scorer = None if rate is None else ScriptedScorer(rate, of_paths=of_paths)
    return Components(ScriptedPolicy(script), ScriptedExecutor(), ExactVerifier(), scorer)


def random_script(answer_share: float = 0.3, failure_share: float = 0.1, distinct: int = 1000) -> Script:
    """Random steps that depend only on the given seed: some fail, some state one of the answers 0, 1, 2."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        rng = random.Random(seed)
        return [random_step(rng, answer_share, failure_share, distinct) for _ in range(n)]

    return script


def random_step(rng: random.Random, answer_share: float, failure_share: float, distinct: int) -> Step:
    number = rng.randrange(distinct)
    draw = rng.random()
    log_probability = -rng.random() * 5
    if draw < failure_share:
        return Step(f"raise {number}", f"raise {number}", log_probability=log_probability, tokens=3)
    if draw < failure_share + answer_share:
        answer = str(rng.randrange(3))
        return Step(f"so {answer}", ending="answer", answer=answer, log_probability=log_probability, tokens=4)
    return Step(f"x = {number}", f"x = {number}", log_probability=log_probability, tokens=2)


def texts(state: State) -> tuple[str, ...]:
    return tuple(step.text for step in state.steps)


def path_texts(node: Node) -> tuple[str, ...]:
    return tuple(each.step.text for each in node.path() if each.step is not None)


class Draws:
    """Steps that depend on the path and on how many were drawn there before, for treestar and for the textbook."""

    def __init__(self, seed: int, distinct: int, answer_share: float) -> None:
        self.seed, self.distinct, self.answer_share = seed, distinct, answer_share
        self.drawn: Counter[tuple[str, ...]] = Counter()

    def propose(self, path: tuple[str, ...]) -> str | None:
        self.drawn[path] += 1
        rng = random.Random(f"{self.seed}/{path}/{self.drawn[path]}")
        if rng.random() < 0.1:
            return None
        so = len(path) == 4 or rng.random() < self.answer_share
        return f"{'so' if so else 'x ='} {rng.randrange(self.distinct)}"

    def script(self, state: State, n: int, seed: int) -> list[Step]:
        return [as_step(self.propose(texts(state))) for _ in range(n)]

    def score(self, path: tuple[str, ...]) -> float:
        return random.Random(f"{self.seed}/{path}").randrange(-64, 65) / 64


def as_step(text: str | None) -> Step:
    if text is None:
        return Step("raise", "raise", tokens=1)
    answer = text[3:] if text.startswith("so") else None
    return Step(text, text if answer is None else "", "step" if answer is None else "answer", answer, tokens=1)


def dyadic_score(state: State) -> float:
    """A score whose sums are exact in floating point."""
    return random.Random(f"{[step.text for step in state.steps]}").randrange(-64, 65) / 64
