"""Judge answers with your own verifier: here, numbers are equal if they are within a tolerance.

A policy estimates pi by throwing random points, so no two trajectories print the same digits. For the default verifier
(mathematical equivalence) they all disagree; with a tolerance they form one group.

    python examples/own_verifier.py
"""

from __future__ import annotations

import treestar
from treestar import Problem, Proposal, Sampling, State, Step

ESTIMATE = """# Estimate pi from 2,000 random points
import random
random.seed({seed})
print(sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(2000)) / 500)"""


class Estimator(treestar.Policy):
    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        if state.steps:
            answer = state.executions[-1].output.strip()
            return Proposal((Step(f"The answer is {answer}.", ending="answer", answer=answer),) * n)
        codes = [ESTIMATE.format(seed=seed % 1000 + index) for index in range(n)]
        return Proposal(tuple(Step(code, code) for code in codes))


class Within:
    """Answers are the same when their nearest multiples of `tolerance` are, so "same" is transitive."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance

    async def accepts(self, problem: Problem, answer: str) -> bool:
        return problem.answer is not None and await self.equivalent(problem.answer, answer)

    async def equivalent(self, first: str, second: str) -> bool:
        try:
            return round(float(first) / self.tolerance) == round(float(second) / self.tolerance)
        except ValueError:
            return False


def main() -> None:
    problem = Problem("What is pi?", answer="3.14159")
    search = treestar.MajorityConfig(samples=16)
    for name, verifier in (("mathematical equivalence", None), ("within 0.2", Within(0.2))):
        with treestar.Solver(Estimator(), search, verifier=verifier) as solver:
            result = solver.solve(problem)
        verdict = "right" if result.correct else "wrong"
        print(f"{name}: {result.answer} is {verdict}; {result.confidence:.2f} of the trajectories agree")


if __name__ == "__main__":
    main()
