"""Checks and finds programs of the bound format, behind one class.

Steps that compute with names run unchanged on other instances of their problem, so right answers by wrong logic can be
detected, and programs can be found without a policy.
"""

from __future__ import annotations

import asyncio

from treestar.policy import LanguageModelPolicy
from treestar.policy.formats import BoundFormat
from treestar.selfevolve.bound.exploration import ExplorationConfig, ExploringPolicy
from treestar.selfevolve.bound.false_positives import Resample, is_false_positive
from treestar.selfevolve.bound.grammar_search import right_programs
from treestar.selfevolve.bound.resampling import resample
from treestar.types import Executor, Policy, Problem, State, TreestarError, Verifier

__all__ = ["BoundPrograms", "programs_of"]


class BoundPrograms:
    """Checks and finds programs by running them on other instances of their problem.

    Args:
        instances: number of other instances on which a program must be right; 0 turns the check off.
        resample: returns the other instances.
    """

    def __init__(self, instances: int, resample: Resample = resample) -> None:
        self.instances = instances
        self.resample = resample

    def has_instances(self, problem: Problem, seed: int) -> bool:
        """Whether programs for `problem` are checked on other instances: it has some, and the check is on."""
        return self.instances > 0 and self.resample(problem, seed) is not None

    async def is_false_positive(
        self, problem: Problem, trajectory: State, executor: Executor, verifier: Verifier, seed: int
    ) -> bool:
        """Whether a trajectory with the right answer is wrong on another instance of `problem`.

        Args:
            seed: seed of the instances.

        Raises:
            TreestarError: the executor failed permanently.
        """
        return await is_false_positive(problem, trajectory, self.resample, executor, verifier, self.instances, seed)

    async def exploring(self, policy: Policy, problem: Problem, config: ExplorationConfig, seed: int) -> Policy:
        """`policy` with a share of its proposals from a grammar, right programs first. Use it only for `problem`."""
        programs = await asyncio.to_thread(right_programs, problem, self.resample, config.tries, self.instances, seed)
        return ExploringPolicy(policy, config, programs)


def programs_of(policy: LanguageModelPolicy, instances: int, explores: bool) -> BoundPrograms | None:
    """The checks for the programs of `policy`; None if its step format does not have such programs.

    Args:
        instances: as for `BoundPrograms`.
        explores: whether the policy should explore, which needs such programs.

    Raises:
        TreestarError: it should explore but does not have such programs.
    """
    if isinstance(policy.format, BoundFormat):
        return BoundPrograms(instances)
    if explores:
        raise TreestarError(
            f"{policy.name} writes its steps in format {policy.format.name!r}, but exploration needs `bound`, in "
            "which the numbers of a question have names: remove `exploration` from the job"
        )
    return None
