"""Beams of steps, scored by a PPM: step-level beam search (Snell et al. 2024, arXiv 2408.03314, section 5.1) and
diverse verifier tree search (Beeching et al. 2024), which is several beams of width 1.

A beam holds its best states. At each step it samples candidates at all of them and keeps the best of these. Finished
trajectories are kept as answers, whether among the best or not. One that is among the best takes a place at that step,
so that fewer states are expanded at the next, and a round ends when no beam has an open state. Further rounds begin at
the root with fresh candidates; states that were reached before are neither run nor scored again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from math import inf

from treestar.search.answer import trajectory_score
from treestar.search.config import BeamSearchConfig, DVTSConfig
from treestar.search.expansion import Growth, Search
from treestar.search.tree import Node

__all__ = ["beam", "dvts"]


async def beam(search: Search[BeamSearchConfig]) -> str:
    """Grow one beam of width `beam_width` in each round; returns what ended the search."""
    return await grow_beams(search, 1, width=search.config.beam_width)


async def dvts(search: Search[DVTSConfig]) -> str:
    """Grow `subtrees` beams of width 1 in each round; returns what ended the search."""
    return await grow_beams(search, search.config.subtrees, width=1)


async def grow_beams(search: Search[BeamSearchConfig] | Search[DVTSConfig], count: int, width: int) -> str:
    config, root = search.config, search.tree.root
    rounds = config.rounds or (1 if config.max_generated_tokens is None else inf)
    beams: list[list[Node]] = []  # the open states of each
    round_began = -1  # after that many tokens
    while True:
        if (spent := search.budget_spent()) is not None:
            return spent
        if not any(beams):
            if root.terminal is not None:
                return "exhausted"
            if rounds == 0:
                return "finished"
            if rounds == inf and search.stats.spent_tokens == round_began:
                return "exhausted"  # the policy proposes nothing more, and no budget would end that
            rounds, round_began = rounds - 1, search.stats.spent_tokens
            beams = [[root]] * count
        leaves = Counter(chain.from_iterable(beams))
        # At the root a beam has one state instead of `width` of them, so it draws all its candidates there.
        per_beam = {leaf: config.children * (width if leaf is root else 1) for leaf in leaves}
        wanted = {leaf: per_beam[leaf] * beams_there for leaf, beams_there in leaves.items()}
        grown = await search.expand(wanted, merge=True, keep_failures=False)
        await evaluate(search, grown)
        # Beams at the same node divide its candidates among them, so that they stay independent.
        shares = {
            each.leaf: iter(divided(each.draws, leaves[each.leaf], per_beam[each.leaf], config.distinct))
            for each in grown
        }
        beams = [keep_best([child for leaf in states for child in next(shares[leaf])], width) for states in beams]
        search.on_progress(search)


async def evaluate(search: Search[BeamSearchConfig] | Search[DVTSConfig], grown: list[Growth]) -> None:
    """Score the new states, and keep the finished trajectories among them."""
    new = [child for growth in grown for child in growth.new if is_candidate(child)]
    await search.score(new)
    await search.finish([child for child in new if child.terminal is not None])
    for growth in grown:
        # Distinct candidates that were drawn before are only drawn again to find others.
        finished = growth.new if search.config.distinct else growth.draws
        search.stats.rollouts += sum(child is not None and child.answer is not None for child in finished)


def divided(draws: Sequence[Node | None], beams: int, each: int, distinct: bool) -> list[Sequence[Node | None]]:
    """The candidates drawn at one node, for each of the beams that are there: `each` of them.

    Distinct candidates come in an order, probable ones first, and there are few where the policy is nearly certain. So
    they are dealt out one by one. Where there are fewer than beams, several beams go on from the same one: they part at
    a later step.
    """
    if not distinct and len(draws) >= beams * each:
        return [draws[place * each : (place + 1) * each] for place in range(beams)]
    dealt = [child for child in draws[: beams * each] if child is not None and is_candidate(child)]
    return [dealt[place::beams] or dealt[place % max(len(dealt), 1) :][:1] for place in range(beams)]


def keep_best(candidates: Iterable[Node | None], width: int) -> list[Node]:
    """The open ones among the `width` distinct candidates with the best trajectories; ties go to the one drawn first.

    All steps count, because candidates of different parents are compared, and a step's own score ignores the steps
    before it.
    """
    distinct = dict.fromkeys(child for child in candidates if child is not None and is_candidate(child))
    ranked = sorted(distinct, key=lambda child: trajectory_score(child) or 0.0, reverse=True)
    return [child for child in ranked[:width] if child.terminal is None]


def is_candidate(child: Node) -> bool:
    """Whether a state is open or has an answer, and so may be part of a beam."""
    return child.terminal is None or child.answer is not None
