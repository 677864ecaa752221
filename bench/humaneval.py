"""HumanEval with an ordinary instruct model: pass@1 of greedy replies, and pass@10 at temperature .8, in the sandbox.

    python bench/humaneval.py [--policy smollm2-135m] [--limit N] [--minutes M] [--data-dir DATA_DIR]

Each problem is answered greedily once and sampled ten times. A finished problem is a line of `runs/humaneval.jsonl` (or
`--lines FILE`) at once, and a run that is started again goes on after it. After `--minutes` no further problem begins.
Problems come in an order drawn with seed 0, so the first N are a sample of all 164. Public tests are not used. Writes
bench/results/humaneval.json, which says how many problems it is about.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from treestar.benchmarks import load_problems, write_record
from treestar.benchmarks.metrics import pass_at_k
from treestar.components import ComponentsConfig, open_components, program_components
from treestar.policy import load_policy
from treestar.search import GreedyConfig, MajorityConfig, SearchConfig, SearchResult, search_one
from treestar.storage.lines import appending, read_lines
from treestar.types import Problem
from treestar.verifier.programs.unit_tests import UnitTestVerifier

ROOT = Path(__file__).resolve().parents[1]
SETS = ROOT.parent / "shared" / "data" / "sets"
SAMPLES, TEMPERATURE = 10, 0.8
REPLY_TOKENS = 512
"""Tokens for a reply, as usual for HumanEval; the ten samples share ten times as many."""
TOGETHER = 16
"""Problems that are answered at the same time, so that their replies share batches."""
TRAJECTORIES = {"greedy": 1, "samples": SAMPLES}
WAYS: dict[str, SearchConfig] = {
    "greedy": GreedyConfig(max_generated_tokens=REPLY_TOKENS),
    "samples": MajorityConfig(
        samples=SAMPLES, temperature=TEMPERATURE, in_flight=SAMPLES, max_generated_tokens=SAMPLES * REPLY_TOKENS
    ),
}

WITHOUT_PROGRAM = ("no program", "truncated", "too long", "max_depth", "context", "dead_end")

Line = dict[str, Any]
"""One problem: its id, and for each of WAYS the verdict of every trajectory ("passed", how it ended, or the type of the
error), the tokens and the seconds."""


async def judge(verifier: UnitTestVerifier, problem: Problem, result: SearchResult, wanted: int) -> list[str]:
    """The verdict on each of the `wanted` trajectories of a search."""
    assert result.tree is not None
    verdicts = []
    for node in result.tree.terminals():
        if node.answer is None:
            ending = node.step.ending if node.step is not None else "context"
            verdicts.append("no program" if ending == "answer" else str(node.terminal))
        else:
            error = (await verifier.run_tests(problem, node.answer)).error
            verdicts.append("passed" if error is None else error.partition(":")[0].partition(" ")[0])
    return verdicts + ["too long"] * (wanted - len(verdicts))


async def run(policy: str, problems: Sequence[Problem], seconds: float, keep: Callable[[Line], None]) -> None:
    started = time.perf_counter()
    loaded = load_policy(policy)
    async with open_components(ComponentsConfig(policy=loaded)) as components:
        parts = program_components(components, guided=False)
        verifier = UnitTestVerifier(components.executor)
        places = asyncio.Semaphore(TOGETHER)

        async def solve(problem: Problem) -> None:
            async with places:
                if time.perf_counter() - started > seconds:
                    return
                line: Line = {"id": problem.id}
                for name, config in WAYS.items():
                    result = await search_one(problem, config, parts, seed=0)
                    line[name] = {
                        "verdicts": await judge(verifier, problem, result, TRAJECTORIES[name]),
                        "tokens": result.stats.generated_tokens,
                        "seconds": round(result.stats.seconds, 1),
                    }
                keep(line)

        await asyncio.gather(*map(solve, problems))


def wilson_interval(successes: int, trials: int) -> list[float]:
    """The 95% interval of a proportion (Wilson 1927); unlike a resampled one it has a width at 0 and at 1."""
    z, share = 1.96, successes / trials
    center = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return [round(max(0.0, center - half), 4), round(min(1.0, center + half), 4)]


def figures_of(lines: list[Line], policy: str, total: int) -> dict[str, Any]:
    passed = {name: [line[name]["verdicts"].count("passed") for line in lines] for name in WAYS}
    counts = {name: Counter(each for line in lines for each in line[name]["verdicts"]) for name in WAYS}
    solved = sum(count > 0 for count in passed["samples"])
    return {
        "model": Path(policy).name,
        "problems": len(lines),
        "of": total,
        "tokens for a reply": REPLY_TOKENS,
        "pass@1 greedy": round(sum(passed["greedy"]) / len(lines), 4),
        "pass@1 greedy, 95%": wilson_interval(sum(passed["greedy"]), len(lines)),
        f"pass@1 at {TEMPERATURE}": round(sum(passed["samples"]) / SAMPLES / len(lines), 4),
        f"pass@{SAMPLES} at {TEMPERATURE}": round(
            sum(pass_at_k(SAMPLES, count, SAMPLES) for count in passed["samples"]) / len(lines), 4
        ),
        f"pass@{SAMPLES} at {TEMPERATURE}, 95%": wilson_interval(solved, len(lines)),
        "trajectories without a program": {
            name: round(sum(found[ending] for ending in WITHOUT_PROGRAM) / found.total(), 4)
            for name, found in counts.items()
        },
        "verdicts": {name: dict(found.most_common()) for name, found in counts.items()},
        "tokens": {name: sum(line[name]["tokens"] for line in lines) for name in WAYS},
        "seconds": {name: round(sum(line[name]["seconds"] for line in lines), 1) for name in WAYS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2-135m", help="a name that treestar takes, or a model's folder")
    parser.add_argument("--limit", type=int, help="at most this many problems")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after these, no further problem begins")
    parser.add_argument("--data-dir", type=Path, default=SETS)
    parser.add_argument("--lines", type=Path, default=ROOT / "runs" / "humaneval.jsonl")
    parser.add_argument("--record", type=Path, default=ROOT / "bench" / "results" / "humaneval.json")
    arguments = parser.parse_args()
    problems = list(load_problems("humaneval", arguments.data_dir).problems)
    random.Random(0).shuffle(problems)
    wanted = problems[: arguments.limit]
    arguments.lines.parent.mkdir(parents=True, exist_ok=True)

    def finished() -> dict[str, Line]:
        found = read_lines(arguments.lines, lambda line: line, "a problem") if arguments.lines.exists() else ()
        return {line["id"]: line for line in found}

    known = finished()
    left = [problem for problem in wanted if problem.id not in known]
    if left:
        with appending(arguments.lines) as append:
            asyncio.run(run(arguments.policy, left, 60 * arguments.minutes, append))
    known = finished()
    lines = [known[problem.id] for problem in wanted if problem.id in known]
    if not lines:
        parser.error("no problem was finished: give it more minutes")
    # Not all of the arguments: paths say something about this machine, and nothing about the figures.
    options = [f"--minutes {arguments.minutes:g}"] if arguments.minutes < float("inf") else []
    options += [f"--limit {arguments.limit}"] if arguments.limit is not None else []
    command = shlex.join(["python", "bench/humaneval.py", *" ".join(options).split()])
    write_record(arguments.record, figures_of(lines, arguments.policy, len(problems)), 0, command)


if __name__ == "__main__":
    main()
