"""Solve a few problems, look at the trajectory, and resume from a results file.

python examples/solve.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import treestar

PROBLEMS = [
    treestar.Problem("What is 12 * 3 + 7?", answer="43", id="product"),
    treestar.Problem("Calculate 45 - 12 * 3 + 80.", answer="89", id="three-terms"),
    treestar.Problem("Solve 3*x + 4 = 19 for x.", answer="5", id="equation"),
]


def main() -> None:
    search = treestar.MCTSConfig(max_rollouts=8, children=4)
    with tempfile.TemporaryDirectory() as folder, treestar.Solver("toy", search, seed=0) as solver:
        out = Path(folder, "results.jsonl")
        for result in solver.solve_many(PROBLEMS, out=out):
            print(f"{result.problem.question}  ->  {result.answer} ({'right' if result.correct else 'wrong'})")
            print(f"  confidence {result.confidence:.2f}; the search stopped because it was {result.stopped}")
            print(f"  {result.stats.nodes} nodes, {result.stats.generated_tokens} generated tokens")
            for step in result.trajectory:
                print("  " + step.code.replace("\n", "\n  ") + (f"   # prints {step.output}" if step.output else ""))

        # Everything is in the results file, so nothing is searched again.
        again = solver.solve_many(PROBLEMS, out=out)
        print(f"read back from {out.name}: {[result.answer for result in again]}")


if __name__ == "__main__":
    main()
