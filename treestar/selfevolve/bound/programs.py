"""What self-evolution can do with the programs of the bound format, behind one class.

Steps that compute with names run unchanged on other instances of their problem, so a right answer by wrong logic can be
told from a right one, and programs can be searched for without a policy.
"""

from __future__ import annotations

import asyncio

from treestar.policy import LanguageModelPolicy
from treestar.policy.formats import BoundFormat
from treestar.selfevolve.bound.claims import misstates
from treestar.selfevolve.bound.exploration import ExplorationConfig, ExploringPolicy
from treestar.selfevolve.bound.false_positives import Resample, is_false_positive
from treestar.selfevolve.bound.grammar_search import right_programs
from treestar.selfevolve.bound.resampling import resample
from treestar.types import Executor, Policy, Problem, State, TreestarError, Verifier

__all__ = ["BoundPrograms", "programs_of"]


class BoundPrograms:
    """Checks and finds programs by running them on other instances of their problem.

    Args:
        instances: on how many other instances a program must be right; 0 checks none.
        resample: gives the other instances.
    """

    def __init__(self, instances: int, resample: Resample = resample) -> None:
        self.instances = instances
        self.resample = resample

    def misstates(self, trajectory: State) -> bool:
        """Whether a step of a trajectory with the right answer makes a false claim about the question."""
        return misstates(trajectory)

    def has_instances(self, problem: Problem, seed: int) -> bool:
        """Whether programs for `problem` are checked on other instances of it: it has some, and some are wanted."""
        return self.instances > 0 and self.resample(problem, seed) is not None

    async def is_false_positive(
        self, problem: Problem, trajectory: State, executor: Executor, verifier: Verifier, seed: int
    ) -> bool:
        """Whether a trajectory with the right answer is wrong on another instance of `problem`.

        Args:
            seed: of the instances.

        Raises:
            TreestarError: the executor failed for good.
        """
        return await is_false_positive(problem, trajectory, self.resample, executor, verifier, self.instances, seed)

    async def exploring(self, policy: Policy, problem: Problem, config: ExplorationConfig, seed: int) -> Policy:
        """`policy` with a share of its proposals from a grammar, right programs first. It serves `problem` alone."""
        programs = await asyncio.to_thread(right_programs, problem, self.resample, config.tries, self.instances, seed)
        return ExploringPolicy(policy, config, programs)


def programs_of(policy: LanguageModelPolicy, instances: int, explores: bool) -> BoundPrograms | None:
    """What can be done with the programs of `policy`; None where its step format has no such programs.

    Args:
        instances: as for `BoundPrograms`.
        explores: whether the policy is to explore, which needs such programs.

    Raises:
        TreestarError: it is to explore and has none.
    """
    if isinstance(policy.format, BoundFormat):
        return BoundPrograms(instances)
    if explores:
        raise TreestarError(
            f"{policy.name} writes its steps in format {policy.format.name!r}, and exploration needs `bound`, where "
            "the numbers of a question have names to compute with: remove `exploration` from the job"
        )
    return None
