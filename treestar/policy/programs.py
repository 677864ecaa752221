"""A policy as it solves problems that ask for a program."""

from __future__ import annotations

from dataclasses import replace

from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.wrapped import WrappedPolicy
from treestar.types import Policy, Proposal, Sampling, State, Step
from treestar.verifier.programs.unit_tests import UnitTestVerifier

__all__ = ["TestedPolicy", "writing_programs"]


def writing_programs(policy: Policy) -> Policy:
    """`policy` in the format in which its model writes programs; itself where that is the one it has."""
    if isinstance(policy, LanguageModelPolicy) and policy.format.code_format is not None:
        return policy.writing(policy.format.code_format)
    return policy


class TestedPolicy(WrappedPolicy):
    """A policy of the `code` format. A program that fails the public tests of its problem is not an answer, so its
    trajectory has failed: a search learns that long before any hidden test."""

    __test__ = False  # not a test, whatever its name tells pytest

    def __init__(self, policy: Policy, verifier: UnitTestVerifier) -> None:
        super().__init__(policy)
        self.verifier = verifier

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`."""
        proposal = await self.policy.propose(state, n, sampling, seed)
        passes: dict[str, bool] = {}
        for step in proposal.steps:
            if step.answer and step.answer not in passes:
                passes[step.answer] = await self.verifier.passes_public_tests(state.problem, step.answer)
        return replace(proposal, steps=tuple(failing_without_answer(step, passes) for step in proposal.steps))


def failing_without_answer(step: Step, passes: dict[str, bool]) -> Step:
    return step if passes.get(step.answer or "", True) else replace(step, answer=None)
