"""Deep Think with Confidence (DeepConf, online; Fu et al. 2025, arXiv 2508.15260): majority voting that gives up on
trajectories in which the model is unsure.

A token's confidence is minus the mean log-probability of the most probable tokens at its place. A trajectory is as sure
as its least sure group of consecutive tokens. The first `warmup` trajectories are sampled to their end; a threshold is
set that the surest `keep_share` of them reach. Further trajectories stop at the step at which they fall below it. A
vote weighs as much as its trajectory is sure, and sampling stops once they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from math import ceil, isfinite

from treestar.search.answer import Weighting, choose
from treestar.search.baselines import grow_trajectories
from treestar.search.closing import end_without_answer
from treestar.search.config import DeepConfConfig
from treestar.search.expansion import Search
from treestar.search.tree import Node
from treestar.types import TreestarError

__all__ = ["deepconf", "least_confidence", "weighted_by_confidence"]


async def deepconf(search: Search[DeepConfConfig]) -> str:
    """Sample until the weighted votes agree; returns what ended the search.

    Raises:
        TreestarError: the policy does not give the confidence of tokens.
    """
    config, root = search.config, search.tree.root
    warmup = min(config.warmup, config.samples)
    stopped = await grow_trajectories(search, warmup, in_flight=warmup)
    ends = search.tree.terminals()
    check_confidences(search, ends)
    # Trajectories whose tokens have no confidence, such as an empty reply's, tell nothing of the others.
    known = [value for node in ends if isfinite(value := sureness(node, config.group_tokens))]
    threshold = reached_by(known, config.keep_share)
    for node in ends:
        if node.answer is not None and sureness(node, config.group_tokens) < threshold:
            search.groups.discard(node)
            end_without_answer(node, "unsure")
    while stopped == "finished" and root.terminal is None:
        if agreement(search) >= config.consensus:
            return "decided"
        window = min(config.window, config.samples - search.stats.rollouts)
        if window <= 0:
            break
        stopped = await grow_trajectories(
            search, window, window, lambda node: is_unsure(node, config.group_tokens, threshold)
        )
    return stopped


def check_confidences(search: Search[DeepConfConfig], ends: Sequence[Node]) -> None:
    """Raises TreestarError if no token of the trajectories has a confidence."""
    steps = [each.step for node in ends for each in node.path() if each.step is not None]
    if any(step.tokens for step in steps) and not any(step.confidences for step in steps):
        raise TreestarError(
            f"deepconf needs the confidence of tokens, which {search.components.policy.name} does not give: choose a "
            "server with top_logprobs, let transformers or vLLM compute the model, or use esc or adaptive_consistency"
        )


def is_unsure(node: Node, group: int, threshold: float) -> bool:
    """Whether the trajectory up to `node` is less sure than `threshold`. The beginning of one is judged from a whole
    group of tokens on: a mean over fewer varies more than those that set the threshold."""
    is_whole = node.terminal is not None
    return (is_whole or len(token_confidences(node)) >= group) and sureness(node, group) < threshold


def weighted_by_confidence(config: DeepConfConfig) -> Weighting:
    """Votes that weigh as much as their trajectories are sure (`sureness`), as in the released code."""
    return partial(vote_weight, group=config.group_tokens)


def vote_weight(node: Node, group: int) -> float:
    """How sure the trajectory that ends at `node` is; 0 if its tokens have no confidence."""
    value = sureness(node, group)
    return value if isfinite(value) else 0.0


def sureness(node: Node, group: int) -> float:
    """The least confidence of any group of tokens of the trajectory up to `node`; infinity without tokens."""
    return least_confidence(token_confidences(node), group)


def token_confidences(node: Node) -> list[float]:
    """The confidence of each token of the trajectory up to `node`, where the policy gives it."""
    return [confidence for each in node.path() if each.step is not None for confidence in each.step.confidences]


def least_confidence(confidences: Sequence[float], group: int) -> float:
    """The smallest mean over `group` consecutive tokens; of fewer tokens, their mean; infinity of none."""
    if not confidences:
        return float("inf")
    width = min(group, len(confidences))
    sums = [0.0, *accumulate(confidences)]
    return min(sums[end] - sums[end - width] for end in range(width, len(sums))) / width


def reached_by(values: Sequence[float], share: float) -> float:
    """The value that the largest `share` of `values`, rounded up, reach; minus infinity of none. The released code
    interpolates between this and a neighboring value (numpy's percentile)."""
    count = max(1, ceil(share * len(values) - 1e-9))
    return sorted(values)[-count] if values else float("-inf")


def agreement(search: Search[DeepConfConfig]) -> float:
    """The leading answer's share of the weight, in [0, 1]; 0 without an answer."""
    chosen = choose(search.groups, weighted_by_confidence(search.config))
    return 0.0 if chosen is None else chosen[1]
