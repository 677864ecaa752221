"""Compare strategies at the same number of generated tokens, with the embedded policy and its PPM.

`treestar bench` does this properly, with many problems, intervals and paired tests.

    python examples/compare_strategies.py [PROBLEMS]
"""

from __future__ import annotations

import sys
from random import Random

import treestar

TOKENS = 400


def problems(count: int) -> list[treestar.Problem]:
    """Expressions such as `Calculate ( 34 - -5 ) * 7 + -81.`, written like those the policy was trained on."""
    found = []
    random = Random(7)
    for _ in range(count):
        a, b, c, d = (random.randint(-99, 99) for _ in range(4))
        found.append(treestar.Problem(f"Calculate ( {a} - {b} ) * {c} + {d}.", str((a - b) * c + d)))
    return found


STRATEGIES: dict[str, tuple[treestar.search.SearchConfig, str | None]] = {
    "greedy": (treestar.GreedyConfig(), None),
    "majority": (treestar.MajorityConfig(samples=100, max_generated_tokens=TOKENS), None),
    "MCTS": (treestar.MCTSConfig(children=4, max_generated_tokens=TOKENS), None),
    "weighted vote + PPM": (treestar.WeightedVoteConfig(samples=100, max_generated_tokens=TOKENS), "embedded"),
    "MCTS + PPM": (treestar.MCTSConfig(children=4, max_generated_tokens=TOKENS), "embedded"),
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    print(f"{count} problems, at most about {TOKENS} generated tokens each")
    print(f"{'strategy':20} {'right':>5} {'tokens':>7} {'steps run':>10}")
    for name, (search, scorer) in STRATEGIES.items():
        with treestar.Solver("embedded", search, scorer) as solver:
            results = solver.solve_many(problems(count))
        right = sum(bool(result.correct) for result in results)
        tokens = sum(result.stats.generated_tokens for result in results) / count
        executions = sum(result.stats.executions for result in results) / count
        print(f"{name:20} {right:5} {tokens:7.0f} {executions:10.1f}")


if __name__ == "__main__":
    main()
