"""Which policies write programs that can be checked and found, and policies that propose such programs.

Steps that compute with names run unchanged on other instances of their problem, so right answers by wrong logic can be
detected, and programs can be found without a policy.
"""

from __future__ import annotations

import asyncio

from treestar.policy import LanguageModelPolicy
from treestar.policy.formats import BoundFormat
from treestar.selfevolve.bound.exploration import ExplorationConfig, ExploringPolicy
from treestar.selfevolve.bound.false_positives import Resample
from treestar.selfevolve.bound.grammar_search import right_programs
from treestar.selfevolve.bound.resampling import resample
from treestar.types import Policy, Problem, TreestarError

__all__ = ["exploring", "resample_for"]


def resample_for(policy: LanguageModelPolicy, explores: bool) -> Resample | None:
    """What gives other instances on which to check programs of `policy`; None if its step format does not have such
    programs.

    Args:
        explores: whether the policy should explore, which needs such programs.

    Raises:
        TreestarError: it should explore but does not have such programs.
    """
    if isinstance(policy.format, BoundFormat):
        return resample
    if explores:
        raise TreestarError(
            f"{policy.name} writes its steps in format {policy.format.name!r}, but exploration needs `bound`, in "
            "which the numbers of a question have names: remove `exploration` from the job"
        )
    return None


async def exploring(
    policy: Policy, problem: Problem, config: ExplorationConfig, resample: Resample, instances: int, seed: int
) -> Policy:
    """`policy` with a share of its proposals from a grammar, right programs first. Use it only for `problem`.

    Args:
        instances: number of other instances on which a program must be right.
    """
    programs = await asyncio.to_thread(right_programs, problem, resample, config.tries, instances, seed)
    return ExploringPolicy(policy, config, programs)
