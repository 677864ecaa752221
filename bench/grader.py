"""Measure the accuracy and speed of treestar's grader and of math-verify alone, on the same cases in the same run.

    python bench/grader.py accuracy [--seed 0] [--pairs 10000]
    python bench/grader.py speed [--before CHECKOUT]

Reads `grader_cases.jsonl`, `grader_suites.jsonl` and `reports.jsonl` from `../shared`, relative to the repository:
lines with `gold`, `pred`, `equal` and `kind`. Debatable cases are reported but not counted. Near misses are generated:
pairs that must differ. math-verify is used as its authors recommend: bare answers are wrapped in dollar signs. Its
timeouts do not stop every input, so it runs in a process that is killed after `BASELINE_SECONDS`.

The speed of this checkout, of math-verify and, with `--before`, of another checkout is measured in turns in the same
run, each time in a fresh process, so that a busy machine slows all of them alike. Writes bench/results/grader.json and
bench/results/grader_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.near_misses import near_miss  # noqa: E402

from treestar.storage.record import write_record  # noqa: E402

SHARED = ROOT.parent / "shared"
RESULTS = ROOT / "bench" / "results"
BASELINE_SECONDS = 5.0
"""Wall seconds after which math-verify alone is killed; its verdict is then "different"."""
BASELINE_NEAR_MISSES = 500
"""Near misses that math-verify alone grades; it takes about ten times as long for each."""
TURNS = 2

BASELINE = r"""
import json, logging, sys
logging.disable(logging.CRITICAL)
from math_verify import parse, verify

def wrapped(text):
    delimited = any(mark in text for mark in ("$", "\\boxed", "\\(", "\\["))
    return text if delimited or len(text) > 300 else "$" + text + "$"

print("ready", flush=True)
for line in sys.stdin:
    gold, prediction = json.loads(line)
    try:
        parsed = [parse(wrapped(text), parsing_timeout=None) for text in (gold, prediction)]
        verdict = verify(*parsed, timeout_seconds=None)
    except BaseException:
        verdict = False
    print(json.dumps(bool(verdict)), flush=True)
"""

SPEED = r"""
import json, statistics, sys, time
from concurrent.futures import ThreadPoolExecutor
from treestar.verifier.grading import answers

cases = json.load(sys.stdin)
started = time.perf_counter()
answers.equivalent("x + 1", "y")
start = time.perf_counter() - started
pools = [answers.pool, *filter(None, [getattr(answers, "symbolic_pool", None)])]
for pool in pools:
    pool.prepare()

def timed(case):
    began = time.perf_counter()
    answers.equivalent(*case)
    return time.perf_counter() - began

result = {"seconds_to_the_first_verdict": start}
threads = int(sys.argv[1])
began = time.perf_counter()
with ThreadPoolExecutor(threads) as executor:
    times = sorted(executor.map(timed, cases))
result[f"pairs_per_second_{threads}_threads"] = len(cases) / (time.perf_counter() - began)
result[f"median_ms_{threads}_threads"] = 1000 * times[len(times) // 2]
result[f"p99_ms_{threads}_threads"] = 1000 * times[int(0.99 * len(times))]
print(json.dumps(result))
"""
"""Measures a checkout's speed; also runs on checkouts older than this file."""

Grader = Callable[[str, str], bool]
Case = dict[str, Any]


class MathVerifyAlone:
    """math-verify in a process that is killed when it exceeds the time limit."""

    def __init__(self) -> None:
        self.kills = 0
        self.start()

    def start(self) -> None:
        """Start the process and wait for its imports."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", BASELINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __call__(self, gold: str, prediction: str) -> bool:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([gold, prediction]).encode() + b"\n")
        self.process.stdin.flush()
        if select.select([self.process.stdout], [], [], BASELINE_SECONDS)[0]:
            line = self.process.stdout.readline()
            if line:
                return bool(json.loads(line))
        self.close()
        self.kills += 1
        self.start()
        return False

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def read_cases(path: Path) -> list[Case]:
    """The cases in a file. Exits with a message if the file does not exist."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        sys.exit(f"no cases at {path} ({error.strerror}): they are kept outside this repository")


def reported_pairs(path: Path) -> list[Case]:
    """The pairs among the reports, and each reply with the answer that it states."""
    cases = []
    for number, report in enumerate(read_cases(path)):
        given = report["input"]
        if given.get("fn") == "equivalent":
            pair, equal = given["args"], report["expected"]
        elif given.get("fn") == "extract_answer":
            pair, equal = (report["expected"], given["text"]), True
        else:
            continue
        cases.append(
            {"id": f"report-{number}", "kind": report["kind"], "gold": pair[0], "pred": pair[1], "equal": equal}
        )
    return cases


def near_misses(count: int, seed: int) -> list[Case]:
    """Pairs that must differ."""
    generator = random.Random(seed)
    pairs = [near_miss(generator) for _ in range(count)]
    return [
        {"id": number, "kind": pair.kind, "gold": pair.gold, "pred": pair.other, "equal": False}
        for number, pair in enumerate(pairs)
    ]


def measure(grader: Grader, cases: Sequence[Case]) -> dict[str, Any]:
    """Accuracy, errors by kind, and times of `grader`."""
    outcomes: Counter[str] = Counter()
    by_kind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    wrong: list[Any] = []
    slowest = 0.0
    for case in cases:
        started = time.perf_counter()
        equal = grader(case["gold"], case["pred"])
        elapsed = time.perf_counter() - started
        seconds[case["kind"]].append(elapsed)
        slowest = max(slowest, elapsed) if case.get("hostile") else slowest
        if case.get("debatable"):
            outcomes["debatable_as_labelled" if equal == case["equal"] else "debatable_otherwise"] += 1
            continue
        outcome = "right" if equal == case["equal"] else "false_accepts" if equal else "false_rejects"
        outcomes[outcome] += 1
        by_kind[case["kind"]][outcome] += 1
        if outcome != "right":
            wrong.append(case["id"])
    counted = sum(outcomes[name] for name in ("right", "false_accepts", "false_rejects"))
    return {
        "counted": counted,
        "accuracy": round(outcomes["right"] / counted, 4),
        **{name: outcomes[name] for name in ("false_accepts", "false_rejects")},
        **{name: outcomes[name] for name in ("debatable_as_labelled", "debatable_otherwise") if name in outcomes},
        "wrong_ids": wrong[:60],
        "errors_by_kind": {kind: dict(counts) for kind, counts in sorted(by_kind.items()) if set(counts) != {"right"}},
        "calls_per_second_by_kind": {kind: round(len(times) / sum(times)) for kind, times in sorted(seconds.items())},
        **({"slowest_hostile_seconds": round(slowest, 3)} if slowest else {}),
    }


def speed_of(checkout: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """The speed of the grader in a checkout with one and with two threads, each in a fresh process: a worker that has
    seen a pair before has parts of it in its caches."""
    found: dict[str, float] = {}
    for threads in (1, 2):
        run = subprocess.run(
            [sys.executable, "-c", SPEED, str(threads)],
            input=json.dumps(pairs),
            capture_output=True,
            text=True,
            check=True,
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        found |= json.loads(run.stdout)
    return found


def speed_of_math_verify(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """The speed of math-verify alone, one pair after another."""
    grader = MathVerifyAlone()
    started = time.perf_counter()
    for pair in pairs:
        grader(*pair)
    rate = len(pairs) / (time.perf_counter() - started)
    grader.close()
    return {"pairs_per_second_1_threads": rate}


def speeds(cases: Sequence[Case], before: Path | None) -> dict[str, Any]:
    """The median speed of each grader on the harmless cases that are not debatable, measured in turns."""
    pairs = [(case["gold"], case["pred"]) for case in cases if not case.get("hostile") and not case.get("debatable")]
    measured: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(TURNS):
        if before is not None:
            measured["before"].append(speed_of(before, pairs))
        measured["treestar"].append(speed_of(ROOT, pairs))
        measured["math_verify_alone"].append(speed_of_math_verify(pairs))
    return {
        "pairs": len(pairs),
        "turns": TURNS,
        "load_average": round(os.getloadavg()[0], 1),
        **{
            name: {figure: round(statistics.median(each[figure] for each in runs), 2) for figure in runs[0]}
            for name, runs in measured.items()
        },
    }


def main() -> None:
    """Measure both graders and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["accuracy", "speed"])
    parser.add_argument("--seed", type=int, default=0, help="of the order of the cases and of the near misses")
    parser.add_argument("--before", type=Path, help="another checkout of treestar, to compare the speed with")
    parser.add_argument("--pairs", type=int, default=10_000, help="number of near misses")
    arguments = parser.parse_args()
    shuffled = read_cases(SHARED / "data" / "grader_cases.jsonl")
    random.Random(arguments.seed).shuffle(shuffled)
    if arguments.part == "speed":
        command = "python bench/grader.py speed" + (" --before CHECKOUT" if arguments.before is not None else "")
        write_record(RESULTS / "grader_speed.json", speeds(shuffled, arguments.before), arguments.seed, command)
        return
    corpora = {
        "grader_cases": shuffled,
        "grader_suites": read_cases(SHARED / "cases" / "grader_suites.jsonl"),
        "reports": reported_pairs(SHARED / "cases" / "reports.jsonl"),
        "near_misses": near_misses(arguments.pairs, arguments.seed),
    }

    from treestar.verifier import equivalent

    equivalent("x + 1", "y")  # Starts the worker; its one-time imports are not part of any comparison.
    baseline = MathVerifyAlone()
    figures: dict[str, Any] = {}
    for name, cases in corpora.items():
        fewer = cases[:BASELINE_NEAR_MISSES] if name == "near_misses" else cases
        figures[name] = {"treestar": measure(equivalent, cases), "math_verify_alone": measure(baseline, fewer)}
        for grader, result in figures[name].items():
            accuracy, counted, accepts = (result[figure] for figure in ("accuracy", "counted", "false_accepts"))
            print(f"{name}, {grader}: {accuracy:.4f} of {counted}, {accepts} false accepts", flush=True)
    figures["math_verify_killed_after_seconds"], figures["math_verify_kills"] = BASELINE_SECONDS, baseline.kills
    baseline.close()
    write_record(RESULTS / "grader.json", figures, arguments.seed)


if __name__ == "__main__":
    main()
