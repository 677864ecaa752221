"""`treestar grade`: check whether answers are equivalent, for one pair or a file of pairs."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from treestar.cli.options import finite

__all__ = ["AnswersWithDashes", "grade"]

DONE, FAILED, MISUSED = 0, 1, 2


class AnswersWithDashes(TyperCommand):
    """Its arguments may begin with a dash, such as -1 and -x, but a word after two dashes is an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {flag for each in self.get_params(ctx) for flag in each.opts}
        for each in takewhile(lambda argument: argument != "--", args):
            flag = each.partition("=")[0]
            if re.match("--[a-z]", flag) and flag not in known:
                raise typer.BadParameter(f"there is no option {flag}; such an answer goes after two dashes: -- {each}")
        return super().parse_args(ctx, args)


class Case(NamedTuple):
    """One line of a file of cases."""

    id: Any
    gold: str
    prediction: str
    equal: bool | None
    """The verdict given in the file, if any."""


def grade(
    gold: Annotated[str | None, typer.Argument(help="The correct answer.")] = None,
    prediction: Annotated[str | None, typer.Argument(help="The answer to grade.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help='JSONL with "gold" and "pred" on each line instead of a pair.')
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per pair: id, equal, seconds.")] = False,
    seconds: Annotated[
        float, typer.Option(help="Time limit of one comparison, in seconds.", min=0.01, callback=finite)
    ] = 1.0,
) -> None:
    """Check whether two mathematical answers are equivalent, or grade a file of pairs.

    The exit code is 0 if all pairs were graded, whatever the verdicts; 1 if a line or the file could not be read, or it
    has no pair; 2 for wrong usage.
    """
    if file is not None and gold is None and prediction is None:
        raise typer.Exit(grade_file(file, as_json, seconds))
    if file is not None or gold is None or prediction is None:
        print("give two answers, GOLD and PREDICTION, or a file of pairs with --file", file=sys.stderr)
        raise typer.Exit(MISUSED)
    equal, elapsed = timed(gold, prediction, seconds)
    print_verdict(None, equal, elapsed, as_json)
    raise typer.Exit(DONE)


def grade_file(file: Path, as_json: bool, seconds: float) -> int:
    broken = labeled = correct = false_accepts = graded = 0
    try:
        for number, line in numbered_lines(file):
            try:
                case = read_case(number, line)
            except ValueError as error:
                print(f"{file}, line {number}: {error}", file=sys.stderr)
                broken += 1
                continue
            equal, elapsed = timed(case.gold, case.prediction, seconds)
            print_verdict(case.id, equal, elapsed, as_json)
            graded += 1
            if case.equal is not None:
                labeled += 1
                correct += equal == case.equal
                false_accepts += equal and not case.equal
    except OSError as error:
        print(f"{file}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    if labeled:
        print(
            f"{correct} of {labeled} verdicts as labeled ({correct / labeled:.1%}): "
            f"{false_accepts} false accepts, {labeled - correct - false_accepts} false rejects",
            file=sys.stderr,
        )
    if broken or not graded:
        print(f"{graded} pairs graded, {broken} lines could not be read", file=sys.stderr)
    return FAILED if broken or not graded else DONE


def numbered_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as lines:
        yield from ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def read_case(number: int, line: bytes) -> Case:
    """The case in a line. Raises ValueError with the reason if it has none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    gold, prediction = record.get("gold"), record.get("pred")
    if not isinstance(gold, str) or not isinstance(prediction, str):
        raise ValueError('needs the strings "gold" and "pred"')
    label = record.get("equal")
    return Case(record.get("id", number), gold, prediction, label if isinstance(label, bool) else None)


def timed(gold: str, prediction: str, seconds: float) -> tuple[bool, float]:
    from treestar.verifier.grading.answers import equivalent, prepare

    prepare(gold, prediction)
    started = time.perf_counter()
    equal = equivalent(gold, prediction, seconds)
    return equal, time.perf_counter() - started


def print_verdict(identifier: Any, equal: bool, elapsed: float, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"id": identifier, "equal": equal, "seconds": round(elapsed, 6)}), flush=True)
        return
    name = "" if identifier is None else f"{identifier}: "
    print(f"{name}{'equal' if equal else 'different'} ({elapsed:.3f} s)", flush=True)
