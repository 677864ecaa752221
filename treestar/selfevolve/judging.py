"""Which right answers of a tree are believed: what nobody else has checked is not yet training data.

No step may say what is not so (`claims.py`). Where a problem's source has other instances of it, the program must be
right on them too. Where there is no gold answer, the tree's own trajectories must agree on one (rStar-Math, section
3.4.1, takes 3 of 10).
"""

from __future__ import annotations

from treestar.search import AnswerGroups, Components, Node, Tree
from treestar.selfevolve.bound.claims import misstates
from treestar.selfevolve.bound.false_positives import Resample, is_false_positive
from treestar.selfevolve.job import SelectionConfig
from treestar.selfevolve.selection import best_of_different, program, right_trajectories

__all__ = ["discard_misstatements", "judge", "overrule"]


async def judge(tree: Tree, components: Components, config: SelectionConfig, resample: Resample | None) -> int:
    """Judge the right answers in `tree` again, and say of how many trajectories they were wrong after all.

    Only as many trajectories are tried on other instances as can be selected, the best of those that pass.

    Args:
        resample: gives other instances of the problem, on which a program can be run as it is; None where the policy
            does not write such programs.

    Raises:
        TreestarError: the executor failed for good.
    """
    if tree.problem.answer is None:
        await judge_by_agreement(tree, components, config)
        return 0
    discarded = 0 if resample is None else discard_misstatements(tree)
    if resample is not None and config.instances and resample(tree.problem, tree.seed) is not None:
        return discarded + await discard_false_positives(tree, components, config, resample)
    right = [node for node in tree.terminals() if node.correct]
    if len({program(tree.state(node)) for node in right}) >= config.agreeing_programs:
        return discarded
    for node in right:
        overrule(node)
    return discarded + len(right)


def discard_misstatements(tree: Tree) -> int:
    """Overrule the right answers of trajectories in the `bound` form whose words are wrong; returns how many."""
    misstated = [node for node in tree.terminals() if node.correct and misstates(tree.state(node))]
    for node in misstated:
        overrule(node)
    return len(misstated)


async def discard_false_positives(
    tree: Tree, components: Components, config: SelectionConfig, resample: Resample
) -> int:
    confirmed: set[str] = set()
    discarded = 0
    while True:
        # Overruling one changes the Q of others, so the best are looked for anew.
        best = best_of_different(right_trajectories(tree), config.trajectories)
        doubtful = next((each for each in best if each.program not in confirmed), None)
        if doubtful is None:
            return discarded
        is_wrong = await is_false_positive(
            tree.problem,
            doubtful.state,
            resample,
            components.executor,
            components.verifier,
            config.instances,
            tree.seed,
        )
        if not is_wrong:
            confirmed.add(doubtful.program)
            continue
        for each in right_trajectories(tree):
            if each.program == doubtful.program:
                overrule(tree.nodes[each.node])
                discarded += 1


def overrule(node: Node) -> None:
    """Take a right answer for wrong: the tree's values become what they were if its reward had been -1."""
    node.correct = False
    above: Node | None = node
    while above is not None:
        above.value_sum -= 2.0
        above = above.parent


async def judge_by_agreement(tree: Tree, components: Components, config: SelectionConfig) -> None:
    """Take the answer of most trajectories for right if enough of them agree; else nothing in the tree is judged."""
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
