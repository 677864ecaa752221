"""Search with your own policy: a class with one method, `propose`.

This policy adds the numbers of a question and gets one addition in five wrong. One trajectory is therefore often wrong;
a search over many finds the answer that most of them agree on. No model is needed.

    python examples/own_policy.py
"""

from __future__ import annotations

import re
from random import Random

import treestar
from treestar import Proposal, Sampling, State, Step

MISTAKES = 0.2


class CarelessAdder(treestar.Policy):
    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        # Candidate i may depend only on the state, the sampling, the seed and i: then searches can be repeated.
        steps = tuple(next_step(state, Random(f"{seed}:{index}")) for index in range(n))
        return Proposal(steps, generated_tokens=sum(step.tokens for step in steps))


def next_step(state: State, random: Random) -> Step:
    numbers = re.findall(r"\d+", state.problem.question)
    place = len(state.steps)
    if place == len(numbers):  # The last step printed the total: state it as the answer.
        total = state.executions[-1].output.strip()
        return Step(f"The answer is {total}.", ending="answer", answer=total, tokens=4)
    mistake = random.choice([-1, 1]) if random.random() < MISTAKES else 0
    code = f"total = {'total + ' if place else ''}{int(numbers[place]) + mistake}"
    if place == len(numbers) - 1:
        code += "\nprint(total)"
    return Step(code, code, tokens=5)  # Every step runs in the interpreter state after the step before it.


def main() -> None:
    random = Random(0)
    terms = [[random.randint(10, 99) for _ in range(5)] for _ in range(20)]
    problems = [treestar.Problem(f"What is {' + '.join(map(str, each))}?", str(sum(each))) for each in terms]
    print(f"20 sums of five numbers; each addition is wrong with probability {MISTAKES}")
    for samples in (1, 4, 16):
        with treestar.Solver(CarelessAdder(), treestar.MajorityConfig(samples=samples)) as solver:
            results = solver.solve_many(problems)
        print(f"majority of {samples:2} trajectories: {sum(bool(result.correct) for result in results):2} of 20 right")


if __name__ == "__main__":
    main()
