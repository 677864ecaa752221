"""Search trees from samples: programs of a question that begin with the same steps share their nodes.

So every step has the number of programs through it as visits, and how many of them are right as its value; no step is
sampled for its own sake, but tens of thousands of questions take a minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from recipes.toy.execution import run_steps
from recipes.word_problems.gpu.batches import LENGTHS
from recipes.word_problems.gpu.programs import is_right, printed, steps_of
from recipes.word_problems.gpu.verify import Comparison
from recipes.word_problems.program import short_number
from treestar.policy.formats import StepFormat
from treestar.ppm.encoding import encode
from treestar.ppm.pairs import make_pairs
from treestar.search import Node, Tree
from treestar.types import Execution, Problem, State, Step, TreestarError

__all__ = ["comparison_of", "finished_states", "tree_of"]


def tree_of(problem: Problem, programs: Mapping[str, int]) -> Tree:
    """The tree of the programs of a question, in the order of how often each was written.

    Args:
        problem: its answer is a finite number.
        programs: the texts, with how often each was written; those that do not end, or are not plain arithmetic, only
            count as wrong for the steps they begin with.
    """
    tree = Tree(problem, "samples", {"step_format": "rstar"}, 0)
    tree.add_root(Execution())
    for text, count in Counter(programs).most_common():
        steps = steps_of(text) or []
        output = output_of(steps)
        right = output is not None and is_right(text, problem.answer or "")
        for node in path_of(tree, steps, output, right):
            node.visits += count
            node.value_sum += count if right else -count
    return tree


def output_of(steps: Sequence[str]) -> str | None:
    """What Python prints, if the steps are plain arithmetic and this is a finite number.

    Fractions can be computed where Python's floats are too large: then it prints `inf` or `nan`, or nothing.
    """
    output = run_steps("", steps) if printed(steps) is not None else None
    return output if output is not None and isfinite(float(output)) else None


def path_of(tree: Tree, steps: Sequence[str], output: str | None, right: bool) -> list[Node]:
    """The nodes of a program from the root on, old or new ones; without an output, up to the step before the last."""
    path = [tree.root]
    for step in steps[:-1]:
        path.append(child_with(tree, path[-1], Step(step, code=step, ending="step")))
    if output is not None:
        last = Step(steps[-1], code=steps[-1], ending="code")
        path.append(child_with(tree, path[-1], last, Execution(f"{output}\n")))
        answer = short_number(output)
        told = Step(f"The answer is \\boxed{{{answer}}}.", ending="answer", answer=answer)
        path.append(child_with(tree, path[-1], told))
        path[-1].terminal, path[-1].answer, path[-1].correct = "answer", answer, right
    return path


def child_with(tree: Tree, parent: Node, step: Step, execution: Execution | None = None) -> Node:
    """The child with this step, an old or a new one."""
    found = next((child for child in parent.children if child.step == step), None)
    return found or tree.add_child(parent, step, execution or Execution())


def comparison_of(
    problem: Problem, programs: Mapping[str, int], tokenizer: Any, step_format: StepFormat
) -> Comparison | None:
    """The preference pairs of the tree of these programs, in tokens; None if there are none."""
    pairs, _ = make_pairs([tree_of(problem, programs)])
    places: dict[tuple[int, ...], int] = {}
    found = []
    for pair in pairs:
        chosen, rejected = (tokens_of(state, tokenizer, step_format) for state in (pair.chosen, pair.rejected))
        if chosen and rejected:
            better, worse = (places.setdefault(state, len(places)) for state in (chosen, rejected))
            found.append((better, worse, pair.weight))
    return Comparison(list(places), found) if found else None


def finished_states(
    problem: Problem, programs: Mapping[str, int], tokenizer: Any, step_format: StepFormat
) -> dict[str, tuple[int, ...]]:
    """The tokens of the trajectories that end with an answer, by their programs."""
    tree = tree_of(problem, programs)
    found = {}
    for node in tree.terminals():
        state = tree.state(node)
        steps = [step.text for step in state.steps[:-1]]
        tokens = tokens_of(state, tokenizer, step_format)
        if tokens:
            found[next(text for text in programs if steps_of(text) == steps)] = tokens
    return found


def tokens_of(state: State, tokenizer: Any, step_format: StepFormat) -> tuple[int, ...] | None:
    """The state as a PPM reads it; None if it cannot be read, or is too long: numbers can have hundreds of digits."""
    try:
        ids = encode(tokenizer, step_format, state).ids
    except TreestarError:
        return None
    return tuple(ids) if len(ids) <= LENGTHS[-1] else None
