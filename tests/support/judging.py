"""For tests of judges: a policy whose values are known exactly, its problems, and its solutions."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy
from support.tiny_model import save_tiny_model

from treestar.judge.annotate import Annotated, annotate
from treestar.judge.config import AnnotationConfig
from treestar.search import Components
from treestar.training.judge.data import Example
from treestar.types import Execution, Problem, State, Step

LENGTH = 3
"""Letters of a walk before its answer."""


def walk(state: State, n: int, seed: int) -> list[Step]:
    """Writes an `a` with probability 3/4 or a `b`, three times; then the answer, right with the probability that the
    walk has earned: 1/4 for each `a`, and 0 after a `bb`. A walk of the problem `always` is always right, of `never`
    never."""
    rng = Random(seed)
    return [one_step(state, rng) for _ in range(n)]


def one_step(state: State, rng: Random) -> Step:
    if len(state.steps) < LENGTH:
        return letter("a" if rng.random() < 0.75 else "b")
    right = rng.random() < chance("".join(step.text for step in state.steps), state.problem.id)
    return Step("so yes" if right else "so no", ending="answer", answer="yes" if right else "no", tokens=2)


def letter(text: str) -> Step:
    return Step(text, code=text, tokens=1)


def chance(letters: str, problem: str = "") -> float:
    """The probability of the right answer after a whole walk."""
    if problem in ("always", "never"):
        return float(problem == "always")
    return 0.0 if "bb" in letters else letters.count("a") / 4


@cache
def value(letters: str) -> float:
    """Q after these letters."""
    if len(letters) == LENGTH:
        return chance(letters)
    return 0.75 * value(letters + "a") + 0.25 * value(letters + "b")


def walked(letters: str, answer: str | None = None, problem: Problem | None = None) -> State:
    """A solution with these letters, and the answer if one is given."""
    steps = [letter(each) for each in letters]
    executions = [Execution(output=each) for each in letters]
    if answer is not None:
        steps.append(Step(f"so {answer}", ending="answer", answer=answer, tokens=2))
        executions.append(Execution())
    return State(problem or walks(1)[0], tuple(steps), tuple(executions))


def walks(count: int) -> list[Problem]:
    return [Problem(f"Walk {number}?", "yes", f"walk-{number}") for number in range(count)]


def walking(script: Callable[[State, int, int], list[Step]] = walk) -> Components:
    return Components(ScriptedPolicy(script), ScriptedExecutor(), ExactVerifier())


async def annotated(
    folder: Path, problems: list[Problem], config: AnnotationConfig, components: Components | None = None
) -> Annotated:
    parts = components or walking()
    return await annotate(problems, lambda _: parts, folder, config, {"policy": "walk"}, concurrency=4)


def examples_of_walks(problems: int) -> list[Example]:
    """For each problem a chunk `a` with a positive label and a chunk `b` with a negative one, after one letter."""
    return [
        Example((problem.id, 0, place), walked(letters, problem=problem), letters[-1] == "a")
        for problem in walks(problems)
        for place, letters in enumerate(("aa", "ab"))
    ]


def save_long_tiny_model(folder: Path, context: int = 2048) -> str:
    """The tiny model with room for a judge's prompt, whose tokens are bytes."""
    save_tiny_model(folder, max_position_embeddings=context)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": context}))
    return str(folder)
