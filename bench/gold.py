"""Check that the grader accepts every gold answer of every test set as itself, and measure how fast.

    python bench/gold.py [DATA_DIR]

DATA_DIR contains the named sets as JSON Lines; the default is `../shared/data/sets`, relative to the repository. Every
gold answer is compared with itself three times: unchanged; in a `\\boxed{}` at the end of a sentence, as models write
it; and between dollar signs, if it has none. Two threads grade, one per core. HumanEval's own solutions are run against
their tests in the sandbox. Writes bench/results/gold.json with every exception.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from treestar.benchmarks import NAMED_SETS, load_problems, write_record
from treestar.sandbox import SandboxExecutor
from treestar.types import Problem
from treestar.verifier import equivalent
from treestar.verifier.programs.unit_tests import UnitTestVerifier

ROOT = Path(__file__).resolve().parents[1]
SETS = ROOT.parent / "shared" / "data" / "sets"
THREADS = 2

WRITTEN: dict[str, Callable[[str], str | None]] = {
    "as it is": lambda gold: gold,
    "boxed in a sentence": lambda gold: f"The answer is $\\boxed{{{gold}}}$.",
    "between dollar signs": lambda gold: None if "$" in gold else f"${gold}$",
}
"""For each form: how to write the answer that is compared with the gold answer; None to skip it."""


def measure(problems: list[tuple[str, Problem]], write: Callable[[str], str | None]) -> dict[str, Any]:
    pairs = []
    for name, problem in problems:
        assert problem.answer is not None
        written = write(problem.answer)
        if written is not None:
            pairs.append((name, problem.id, problem.answer, written))
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        verdicts = list(threads.map(lambda pair: equivalent(pair[2], pair[3]), pairs))
    seconds = time.perf_counter() - started
    rejected = [pair for pair, equal in zip(pairs, verdicts, strict=True) if not equal]
    return {
        "answers": len(pairs),
        "equal": sum(verdicts),
        "share": round(sum(verdicts) / len(pairs), 5),
        "answers_per_second": round(len(pairs) / seconds),
        "exceptions": [{"set": name, "id": identifier, "gold": gold[:120]} for name, identifier, gold, _ in rejected],
    }


async def run_programs(problems: tuple[Problem, ...]) -> dict[str, Any]:
    executor = SandboxExecutor()
    verifier = UnitTestVerifier(executor)
    try:
        await verifier.run_tests(problems[0], "")  # starts the sandbox
        started = time.perf_counter()
        tested = [await verifier.run_tests(problem, f"{problem.question}{problem.answer}") for problem in problems]
        seconds = time.perf_counter() - started
    finally:
        await executor.close()
    failed = [
        {"id": problem.id, "error": execution.error}
        for problem, execution in zip(problems, tested, strict=True)
        if execution.error is not None
    ]
    return {
        "programs": len(problems),
        "passed": len(problems) - len(failed),
        "programs_per_second": round(len(problems) / seconds, 1),
        "exceptions": failed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, nargs="?", default=SETS)
    arguments = parser.parse_args()
    sets = {name: load_problems(name, arguments.data_dir) for name in NAMED_SETS}
    problems = [(name, problem) for name, found in sets.items() for problem in found.problems if problem.kind == "math"]
    equivalent("x + 1", "y")  # starts the worker; its one-time imports are not part of any comparison
    figures: dict[str, Any] = {
        "threads": THREADS,
        "sets": {name: len(found.problems) for name, found in sets.items()},
        "without_gold_answer": {name: found.without_answer for name, found in sets.items() if found.without_answer},
        **{name: measure(problems, write) for name, write in WRITTEN.items()},
        "humaneval": asyncio.run(run_programs(sets["humaneval"].problems)),
    }
    write_record(Path(__file__).parent / "results" / "gold.json", figures, seed=0)


if __name__ == "__main__":
    main()
