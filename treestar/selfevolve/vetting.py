"""Vetting of finished trees: checks right answers again before they become training data.

Steps must not make false claims about the question. If a problem has other instances, a program must be right on them,
too. Without a gold answer, the tree's own trajectories must agree on one (rStar-Math, section 3.4.1, requires 3 of 10).
"""

from __future__ import annotations

from treestar.search import AnswerGroups, Components, Node, Tree
from treestar.selfevolve.bound import Resample, is_false_positive, misstates
from treestar.selfevolve.job import SelectionConfig
from treestar.selfevolve.selection import best_of_different, program, right_trajectories

__all__ = ["discard_misstatements", "overrule", "vet"]


async def vet(tree: Tree, components: Components, config: SelectionConfig, resample: Resample | None) -> int:
    """Check the right answers in `tree` again, and return the number of trajectories found to be wrong.

    Trajectories are run on other instances only until as many pass as can be selected, best first.

    Args:
        resample: gives other instances for the policy's programs; None if its format has no such programs.

    Raises:
        TreestarError: the executor failed permanently.
    """
    if tree.problem.answer is None:
        await settle_by_agreement(tree, components, config)
        return 0
    discarded = 0 if resample is None else discard_misstatements(tree)
    if resample is not None and config.instances > 0 and resample(tree.problem, tree.seed) is not None:
        return discarded + await discard_false_positives(tree, components, config, resample)
    right = [node for node in tree.terminals() if node.correct]
    if len({program(tree.state(node)) for node in right}) >= config.agreeing_programs:
        return discarded
    for node in right:
        overrule(node)
    return discarded + len(right)


def discard_misstatements(tree: Tree) -> int:
    """Overrule the right answers of trajectories with false claims; returns their number."""
    misstated = [node for node in tree.terminals() if node.correct and misstates(tree.state(node))]
    for node in misstated:
        overrule(node)
    return len(misstated)


async def discard_false_positives(
    tree: Tree, components: Components, config: SelectionConfig, resample: Resample
) -> int:
    """Overrule the right answers of programs that are wrong on another instance; returns their number."""
    confirmed: set[str] = set()
    discarded = 0
    while True:
        # Overruling one changes the Q of others, so the best ones are computed again.
        best = best_of_different(right_trajectories(tree), config.trajectories)
        doubtful = next((each for each in best if each.program not in confirmed), None)
        if doubtful is None:
            return discarded
        executor, verifier = components.executor, components.verifier
        is_wrong = await is_false_positive(
            tree.problem, doubtful.state, resample, executor, verifier, config.instances, tree.seed
        )
        if not is_wrong:
            confirmed.add(doubtful.program)
            continue
        for each in right_trajectories(tree):
            if each.program == doubtful.program:
                overrule(tree.nodes[each.node])
                discarded += 1


def overrule(node: Node) -> None:
    """Treat a right answer as wrong: update the tree's values as if its reward had been -1."""
    node.correct = False
    above: Node | None = node
    while above is not None:
        above.value_sum -= 2.0
        above = above.parent


async def settle_by_agreement(tree: Tree, components: Components, config: SelectionConfig) -> None:
    """Treat the most frequent answer as right if enough trajectories agree on it; otherwise leave all unjudged."""
    groups = AnswerGroups(components.verifier)
    for node in tree.terminals():
        if node.terminal == "answer":
            await groups.add(node)
        else:
            groups.settle(node)
    if not groups.groups:
        return
    largest = max(groups.groups, key=lambda group: group.mass)
    finished = 1.0 - groups.open_mass
    agreeing = sum(node.multiplicity for node in largest.members)
    if agreeing < config.agreeing or largest.mass < config.agreement * finished:
        return
    for group in groups.groups:
        for node in group.members:
            node.correct = group is largest
