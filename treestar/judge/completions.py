"""Values of the chunks of solutions: how often the policy, continuing after each, ends in a right answer.

All chosen solutions of a problem form one tree, in which equal beginnings are the same node. M completions start at
every node on their paths. All of them grow together, in waves, so that the backend's batch is full.

**What is reused, and why that is unbiased.** A completion from the end of chunk i begins with a chunk of its own. Where
that chunk happens to be, letter for letter, the solution's chunk i + 1, the completion has arrived at the boundary
i + 1, from which M completions are drawn anyway: one of these, that no other completion of boundary i has taken, serves
as its rest. It is a draw from the same distribution, and it is independent of the other completions of boundary i, so
the estimate at each boundary has the same distribution as with M separate completions. Only the estimates of
neighboring boundaries are correlated, which makes their ratio and difference less noisy. Not reused are the rest of the
solution itself and the responses that gave the pass rate: both were looked at when the problem and the solution were
chosen, so they are not draws like others. Nor do completions of boundary i + 1 serve boundary i, because they all begin
with the solution's chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from treestar.judge.config import AnnotationConfig
from treestar.judge.responses import verdicts_of
from treestar.search.answer import AnswerGroups
from treestar.search.config import SamplesConfig
from treestar.search.expansion import Components, Search
from treestar.search.tree import Node, Tree
from treestar.types import Execution, Problem, State, Step

__all__ = ["ValuedChunk", "valued_chunks"]


@dataclass(frozen=True, slots=True)
class ValuedChunk:
    """A chunk with its value."""

    state: State
    """The solution up to and including the chunk."""
    solution: int
    """The first of the given solutions that has it."""
    completions: int
    """0 for the last chunk of a solution: whether that is right is known."""
    right: int
    """Completions that end in a right answer."""
    q: float
    before: float
    """The value before the chunk; for the first one the pass rate."""
    borrowed: int = 0
    """Completions whose rest was one of a later chunk's."""
    generated_tokens: int = 0
    """Tokens generated for its completions."""


@dataclass(slots=True)
class Boundary:
    """A node on the path of a solution."""

    node: Node
    solution: int
    following: list[Node] = field(default_factory=list)
    """The next nodes on the paths of solutions."""
    ends: list[Node] = field(default_factory=list)
    """Where each completion ended; a node of `following` where it continues as one of that node's completions."""
    outcomes: list[bool] = field(default_factory=list)
    """For each completion, whether its answer is right."""


async def valued_chunks(
    problem: Problem,
    solutions: Sequence[State],
    pass_rate: float,
    config: AnnotationConfig,
    components: Components,
    seed: int,
) -> list[ValuedChunk]:
    """The chunks of `solutions`, each distinct one once, in the order of the solutions and of their steps.

    A solution whose steps print something else when they are run again is left out from there on.

    Args:
        pass_rate: the value before the first chunk.
        seed: determines all random draws, together with the problem.

    Raises:
        TreestarError: the policy or the executor failed permanently.
    """
    settings = config.sampling(config.completions).completed(components.policy.recommended)
    tree = Tree(problem, "completions", settings.to_json(), seed)
    search = Search(settings, components, tree, AnswerGroups(components.verifier), Event())
    interpreter = await components.executor.open()
    try:
        await search.begin(interpreter)
        boundaries = {0: Boundary(tree.root, 0)}
        for number, solution in enumerate(solutions):
            await add_path(search, solution, number, boundaries)
        await complete(search, [each for each in boundaries.values() if needs_completions(each)], config.completions)
        await judge(search, boundaries)
    finally:
        await interpreter.close()
    return [
        valued_chunk(tree, boundary, pass_rate, boundaries)
        for boundary in boundaries.values()
        if boundary.node is not tree.root
    ]


async def add_path(
    search: Search[SamplesConfig], solution: State, number: int, boundaries: dict[int, Boundary]
) -> None:
    """Run the solution's steps again, and add those nodes that the tree does not have yet."""
    boundary = boundaries[0]
    for step, execution in zip(solution.steps, solution.executions, strict=True):
        known = next((node for node in boundary.following if same_chunk(node.step, step)), None)
        if known is None:
            again = await search.execute(step, boundary.node)
            if (again.output, again.error) != (execution.output, execution.error):
                return
            known = add_node(search, boundary.node, step, again)
            boundary.following.append(known)
            boundaries[known.index] = Boundary(known, number)
        boundary = boundaries[known.index]


def add_node(search: Search[SamplesConfig], parent: Node, step: Step, execution: Execution) -> Node:
    node = search.tree.add_child(parent, step, execution)
    failure, node.answer = search.outcome(step, execution)
    node.terminal = failure or ("answer" if node.answer is not None else None)
    return node


def same_chunk(one: Step | None, other: Step | None) -> bool:
    """Whether two steps of the same state leave equal states: the policy reads the same text after them."""
    assert one is not None
    assert other is not None
    return (one.text, one.code, one.ending, one.answer) == (other.text, other.code, other.ending, other.answer)


def needs_completions(boundary: Boundary) -> bool:
    """Whether completions start here: the value before the first chunk is the pass rate, and the end's is known."""
    return boundary.node.parent is not None and boundary.node.terminal is None


async def complete(search: Search[SamplesConfig], boundaries: Sequence[Boundary], count: int) -> None:
    """Grow `count` completions from every boundary until each has ended, or arrived at a later boundary."""
    if not boundaries:
        return
    wanted = {boundary.node: count for boundary in boundaries}
    growing: list[tuple[Boundary, int]] = []
    grown = await search.expand(wanted, merge=False, keep_failures=True)
    for boundary, growth in zip(boundaries, grown, strict=True):
        for node in growth.new:  # none where the context is full
            arrived = next((each for each in boundary.following if same_chunk(each.step, node.step)), None)
            boundary.ends.append(arrived or node)
            if arrived is None and node.terminal is None:
                growing.append((boundary, len(boundary.ends) - 1))
    while growing:
        leaves = [boundary.ends[place] for boundary, place in growing]
        grown = await search.expand(Counter(leaves), merge=False, keep_failures=True)
        for (boundary, place), growth in zip(growing, grown, strict=True):
            [boundary.ends[place]] = growth.new or [growth.leaf]
        growing = [(boundary, place) for boundary, place in growing if boundary.ends[place].terminal is None]


async def judge(search: Search[SamplesConfig], boundaries: Mapping[int, Boundary]) -> None:
    """Set the outcomes of all completions, and of the solutions themselves."""
    verdicts = await verdicts_of(search.tree, search.components.verifier)

    def is_right(node: Node) -> bool:
        return node.terminal == "answer" and verdicts[node.answer or ""]

    for boundary in reversed(list(boundaries.values())):  # later nodes first: their outcomes are borrowed
        if boundary.node.terminal is not None:
            boundary.outcomes = [is_right(boundary.node)]
            continue
        taken: Counter[int] = Counter()
        for end in boundary.ends:
            if end not in boundary.following:
                boundary.outcomes.append(is_right(end))
                continue
            later = boundaries[end.index].outcomes
            place = 0 if end.terminal is not None else taken[end.index]
            taken[end.index] += 1
            boundary.outcomes.append(later[place])
        if not boundary.ends:  # the context is full, so nothing can be right
            boundary.outcomes = [False] * search.config.samples


def valued_chunk(tree: Tree, boundary: Boundary, pass_rate: float, boundaries: Mapping[int, Boundary]) -> ValuedChunk:
    node = boundary.node
    assert node.parent is not None
    before = pass_rate if node.parent is tree.root else value_of(boundaries[node.parent.index])
    outcomes = [] if node.terminal is not None else boundary.outcomes
    return ValuedChunk(
        tree.state(node),
        boundary.solution,
        len(outcomes),
        sum(outcomes),
        value_of(boundary),
        before,
        sum(end in boundary.following for end in boundary.ends),
        sum(tokens_below(child) for child in node.children if child not in boundary.following),
    )


def value_of(boundary: Boundary) -> float:
    return sum(boundary.outcomes) / len(boundary.outcomes) if boundary.outcomes else 0.0


def tokens_below(node: Node) -> int:
    """The generated tokens of `node` and of all nodes below it."""
    tokens, unread = 0, [node]
    while unread:
        node = unread.pop()
        tokens += node.step.tokens if node.step else 0
        unread += node.children
    return tokens
