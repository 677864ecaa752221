"""Compare searches with one and with four rollouts in flight: what they answer, and how long a single question takes.

    treestar models fetch smollm2-135m
    python bench/rollouts_in_flight.py answers DIR [--in-flight 1 4]
    python bench/rollouts_in_flight.py seconds DIR [--in-flight 1 4] [--longest 4] [--repeats 1]

`answers` searches the everyday questions, two sets of a hundred, all at once. `seconds` searches one question after the
other, of those whose search took most tokens in `answers`, in turns; it wants a quiet machine. Both use the default
policy and its PPM, and keep what they have in DIR, so that the same command continues. Each writes
bench/results/rollouts_in_flight.json with what there is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from treestar import MCTSConfig, Problem, Solver
from treestar.benchmarks import load_problems
from treestar.search import SearchResult
from treestar.statistics import expected_calibration_error, paired_difference, share_interval
from treestar.storage.files import read_json, write_json
from treestar.storage.record import write_record

RECIPE = Path(__file__).parents[1] / "recipes" / "word_problems"
SETS = ("everyday", "everyday_check")
PARTS = {"both": slice(None), "everyday": slice(100), "everyday_check": slice(100, None)}
RECORD = Path(__file__).parent / "results" / "rollouts_in_flight.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("answers", "seconds"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--longest", type=int, default=4, help="how many questions are timed")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    problems = [each for name in SETS for each in load_problems(f"jsonl:{RECIPE / name}.jsonl").problems]
    answered = {width: path for width in (1, 2, 4, 8) if (path := options.folder / f"answers-{width}.json").exists()}
    if options.part == "answers":
        for width in options.in_flight:
            path = options.folder / f"answers-{width}.json"
            if not path.exists():
                with Solver(search=MCTSConfig(in_flight=width)) as solver:
                    write_json(path, [row_of(each) for each in solver.solve_many(problems)])
                answered[width] = path
    else:
        measure_seconds(options, problems)
    timed = options.folder / "seconds.json"
    rows = {width: read_json(answered[width]) for width in sorted(answered)}
    figures = {
        "answers": {name: figures_of_set(rows, part) for name, part in PARTS.items()},
        "seconds": seconds_of(read_json(timed)) if timed.exists() else None,
    }
    write_record(RECORD, figures, seed=0, command=f"python bench/rollouts_in_flight.py {options.part} DIR")


def row_of(result: SearchResult) -> dict[str, Any]:
    assert result.tree is not None
    return {
        "right": bool(result.correct),
        "found": any(node.answer == result.problem.answer for node in result.tree.nodes),
        "confidence": result.confidence,
        "rollouts": result.stats.rollouts,
        "generated_tokens": result.stats.generated_tokens,
    }


def figures_of_set(rows: dict[int, list[dict[str, Any]]], part: slice) -> dict[str, Any]:
    sequential = rows[1][part] if 1 in rows else None
    return {
        str(width): figures_of(of_width[part], sequential if width != 1 else None) for width, of_width in rows.items()
    }


def figures_of(rows: list[dict[str, Any]], sequential: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The figures of one width, and its right answers minus those with one rollout in flight."""
    right = [row["right"] for row in rows]
    found = {
        "questions": len(rows),
        "right": sum(right),
        "accuracy": [round(each, 3) for each in (statistics.mean(right), *share_interval(right))],
        "right_answer_found": sum(row["found"] for row in rows),
        "tokens": round(statistics.mean(row["generated_tokens"] for row in rows)),
        "rollouts": round(statistics.mean(row["rollouts"] for row in rows), 1),
        "ece": round(expected_calibration_error([row["confidence"] for row in rows], right), 3),
    }
    if sequential is not None:
        found["minus_sequential"] = paired_difference(right, [row["right"] for row in sequential])
    return found


def measure_seconds(options: argparse.Namespace, problems: list[Problem]) -> None:
    """Search the longest questions one at a time, with each width in turn, and keep the seconds and tokens."""
    rows = read_json(options.folder / "answers-1.json")
    longest = sorted(range(len(rows)), key=lambda place: -rows[place]["generated_tokens"])[: options.longest]
    found: dict[str, list[tuple[float, int]]] = {}
    solvers = {width: Solver(search=MCTSConfig(in_flight=width)) for width in options.in_flight}
    for solver in solvers.values():
        solver.solve("What is 2 + 2?")  # starts the sandbox
    for _ in range(options.repeats):
        for place in longest:
            for width, solver in solvers.items():
                started = time.perf_counter()
                result = solver.solve(problems[place])
                seconds = time.perf_counter() - started
                found.setdefault(str(width), []).append((round(seconds, 2), result.stats.generated_tokens))
                print(place, width, found[str(width)][-1], flush=True)
    for solver in solvers.values():
        solver.close()
    write_json(options.folder / "seconds.json", found)


def seconds_of(found: dict[str, list[tuple[float, int]]]) -> dict[str, Any]:
    return {
        width: {
            "searches": len(pairs),
            "seconds": spread([seconds for seconds, _ in pairs]),
            "tokens": spread([tokens for _, tokens in pairs]),
            "tokens_per_second": spread([round(tokens / seconds, 1) for seconds, tokens in pairs]),
        }
        for width, pairs in found.items()
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
