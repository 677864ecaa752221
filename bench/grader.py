"""Measure the accuracy and speed of treestar's grader and of math-verify alone, on the same cases in the same run.

    python bench/grader.py [CASES] [--seed 0]

CASES is a JSONL file with `gold`, `pred`, `equal`, `kind` and optionally `debatable` and `hostile`; the default is
`../shared/data/grader_cases.jsonl`, relative to the repository. Debatable cases are reported but not counted.
math-verify is used as its authors recommend: bare answers are wrapped in dollar signs. Its timeouts do not stop every
input, so it runs in a process that is killed after `BASELINE_SECONDS`. Writes bench/results/grader.json.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from treestar.storage.record import write_record

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT.parent / "shared" / "data" / "grader_cases.jsonl"
BASELINE_SECONDS = 5.0
"""Wall seconds after which math-verify alone is killed; its verdict is then "different"."""
PLAIN_PAIRS = 2000
"""Number of integer pairs that measure the speed on plain numbers."""

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

Grader = Callable[[str, str], bool]
Case = dict[str, Any]


class MathVerifyAlone:
    """math-verify 0.9 in a process that is killed when it exceeds the time limit."""

    def __init__(self) -> None:
        self.kills = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BASELINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def __call__(self, gold: str, prediction: str) -> bool:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([gold, prediction]).encode() + b"\n")
        self._process.stdin.flush()
        if select.select([self._process.stdout], [], [], BASELINE_SECONDS)[0]:
            line = self._process.stdout.readline()
            if line:
                return bool(json.loads(line))
        self.close()
        self.kills += 1
        self._start()
        return False

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def read_cases(path: Path) -> list[Case]:
    """The cases of the corpus. Exits with a message if the file does not exist."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        sys.exit(f"no corpus of cases at {path} ({error.strerror}); give the path of one as the first argument")


def measure(grader: Grader, cases: Sequence[Case]) -> dict[str, Any]:
    """Accuracy, errors by kind, and times of `grader`."""
    seconds: dict[Any, float] = {}
    outcomes: Counter[str] = Counter()
    by_kind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[Any] = []
    for case in cases:
        started = time.perf_counter()
        equal = grader(case["gold"], case["pred"])
        seconds[case["id"]] = time.perf_counter() - started
        if case.get("debatable"):
            outcomes["debatable_as_labelled" if equal == case["equal"] else "debatable_otherwise"] += 1
            continue
        outcome = "right" if equal == case["equal"] else "false_accepts" if equal else "false_rejects"
        outcomes[outcome] += 1
        by_kind[case["kind"]][outcome] += 1
        if outcome != "right":
            wrong.append(case["id"])
    counted = sum(outcomes[name] for name in ("right", "false_accepts", "false_rejects"))
    harmless = [seconds[case["id"]] for case in cases if not case.get("hostile")]
    hostile = [seconds[case["id"]] for case in cases if case.get("hostile")]
    slowest = max(seconds, key=lambda identifier: seconds[identifier])
    return {
        "counted": counted,
        "accuracy": round(outcomes["right"] / counted, 4),
        **{name: outcomes[name] for name in ("false_accepts", "false_rejects")},
        **{name: outcomes[name] for name in ("debatable_as_labelled", "debatable_otherwise")},
        "wrong_ids": wrong,
        "errors_by_kind": {kind: dict(counts) for kind, counts in sorted(by_kind.items()) if set(counts) != {"right"}},
        "calls_per_second_mixed": round(len(harmless) / sum(harmless), 1),
        "slowest": {"id": slowest, "seconds": round(seconds[slowest], 3)},
        "slowest_hostile_seconds": round(max(hostile, default=0.0), 3),
    }


def plain_integer_speed(grader: Grader, seed: int) -> float:
    """Calls per second on pairs of plain integers, no pair twice."""
    numbers = random.Random(seed)
    pairs = [(str(numbers.randrange(10**6)), str(numbers.randrange(10**6))) for _ in range(PLAIN_PAIRS)]
    started = time.perf_counter()
    for first, second in pairs:
        grader(first, second)
    return round(PLAIN_PAIRS / (time.perf_counter() - started), 1)


def main() -> None:
    """Measure both graders and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="?", default=CASES)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the cases and of the integers")
    arguments = parser.parse_args()
    cases = read_cases(arguments.cases)
    random.Random(arguments.seed).shuffle(cases)

    from treestar.verifier import equivalent

    equivalent("x + 1", "y")  # Starts the worker; its one-time imports are not part of any comparison.
    ours = measure(equivalent, cases)
    ours["calls_per_second_plain_integers"] = plain_integer_speed(equivalent, arguments.seed)
    baseline = MathVerifyAlone()
    theirs = measure(baseline, cases)
    theirs["calls_per_second_plain_integers"] = plain_integer_speed(baseline, arguments.seed)
    theirs["killed_after_seconds"], theirs["kills"] = BASELINE_SECONDS, baseline.kills
    baseline.close()

    corpus = {"name": arguments.cases.name, "cases": len(cases)}
    write_record(
        Path(__file__).parent / "results" / "grader.json",
        {"corpus": corpus, "treestar": ours, "math_verify_alone": theirs},
        arguments.seed,
    )
    for name, result in (("treestar", ours), ("math-verify alone", theirs)):
        print(
            f"{name}: accuracy {result['accuracy']:.3f} of {result['counted']}, "
            f"{result['false_accepts']} false accepts, {result['false_rejects']} false rejects, "
            f"{result['calls_per_second_mixed']:.0f} calls/s mixed, "
            f"{result['calls_per_second_plain_integers']:.0f} on integers, "
            f"slowest hostile {result['slowest_hostile_seconds']:.2f} s"
        )


if __name__ == "__main__":
    main()
