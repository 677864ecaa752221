"""Compare strategies at the same number of generated tokens, with the toy policy and its PPM.

`treestar bench` does this properly, with many problems, intervals and paired tests.

    python examples/compare_strategies.py [PROBLEMS]
"""

from __future__ import annotations

import sys
from random import Random

import treestar
from treestar.search import SearchConfig

TOKENS = 800


def problems(count: int) -> list[treestar.Problem]:
    """Expressions such as `Calculate 42 - 20 * 3 + 51 * 84 + 7 - 10.`, longer than most that the policy has learned."""
    random = Random(7)
    found = []
    for _ in range(count):
        terms = [random.randint(1, 99) for _ in range(7)]
        operators = [random.choice("+-"), "*", random.choice("+-"), "*", random.choice("+-"), random.choice("+-")]
        rest = " ".join(f"{operator} {term}" for operator, term in zip(operators, terms[1:], strict=True))
        found.append(treestar.Problem(f"Calculate {terms[0]} {rest}.", str(eval(f"{terms[0]} {rest}"))))
    return found


STRATEGIES: dict[str, tuple[SearchConfig, str | None]] = {
    "greedy": (treestar.GreedyConfig(), None),
    "majority": (treestar.MajorityConfig(samples=100, in_flight=2, max_generated_tokens=TOKENS), None),
    "MCTS": (treestar.MCTSConfig(children=4, max_generated_tokens=TOKENS), None),
    "majority, PPM weights": (
        treestar.WeightedVoteConfig(samples=100, in_flight=2, max_generated_tokens=TOKENS),
        "toy",
    ),
    "MCTS, PPM": (treestar.MCTSConfig(children=4, max_generated_tokens=TOKENS), "toy"),
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"{count} problems, at most about {TOKENS} generated tokens each")
    print(f"{'strategy':22} {'right':>5} {'tokens':>7} {'steps run':>10}")
    for name, (search, scorer) in STRATEGIES.items():
        with treestar.Solver("toy", search, scorer) as solver:
            results = solver.solve_many(problems(count))
        right = sum(bool(result.correct) for result in results)
        tokens = sum(result.stats.generated_tokens for result in results) / count
        executions = sum(result.stats.executions for result in results) / count
        print(f"{name:22} {right:5} {tokens:7.0f} {executions:10.1f}")


if __name__ == "__main__":
    main()
