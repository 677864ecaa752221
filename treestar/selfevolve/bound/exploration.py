"""Exploration that does not depend on the policy: a share of its candidates is replaced by steps from a grammar.

Like AlphaZero's noise in the root's priors (Silver et al. 2017), it lets search find steps that the policy would never
propose. It costs no tokens: thousands of such steps can be run while a policy writes a few hundred.

How search treats these steps: a proposal is a sample from a mixture of policy and grammar; each drawn step is one
candidate, counted in `sampled_mass` and merged like any other. The grammar's own steps of one proposal differ,
because they are drawn without replacement. Their log-probability is that of the share times the grammar, the known
part of the mixture. It is far below that of a policy's own steps, so PUCT and `best_of_n` prefer the policy's. UCT does
not use it. The mixture is only for making training data with gold answers; without them, random steps would take part
in the vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor, log
from random import Random

from treestar.config.checks import check_number, check_whole
from treestar.policy.formats import trajectory_text
from treestar.policy.wrapped import WrappedPolicy
from treestar.search.same_steps import code_without_comments
from treestar.selfevolve.bound.grammar import Draft, drafts, in_drawing_order, scope_of
from treestar.selfevolve.bound.grammar_search import Program
from treestar.types import Policy, Proposal, Sampling, State, Step

__all__ = ["ExplorationConfig", "ExploringPolicy"]


@dataclass(frozen=True, kw_only=True)
class ExplorationConfig:
    """The amount of exploration."""

    share: float = 0.25
    """Share of the candidates of each proposal that come from the grammar, above 0 and at most 1. With 1 the policy is
    not used if the grammar has enough steps."""
    tries: int = 0
    """Number of last computations to try before a search, after random beginnings (`grammar_search.py`). The steps of
    the right programs are proposed first. About 200,000 per second; only if a source has other instances."""
    cells: tuple[str, ...] = ()
    """Explore only problems of these cells, such as `gsm_symbolic/untaught`; by default all."""

    def __post_init__(self) -> None:
        check_number(self, "share", above=0, at_most=1)
        check_whole(self, "tries", at_least=0)

    def is_for(self, cell: str) -> bool:
        return not self.cells or cell in self.cells


class ExploringPolicy(WrappedPolicy):
    """Mixes steps from the grammar into another policy's, whose candidates are the first that it would propose itself.

    Args:
        policy: writes the bound format. The grammar computes with names: in other formats a question's numbers have no
            names, and two equal ones cannot be distinguished.
        programs: for the one problem to search, the most plausible first: the steps that lead to them are proposed
            before random ones.
    """

    def __init__(self, policy: Policy, config: ExplorationConfig, programs: Sequence[Program] = ()) -> None:
        super().__init__(policy)
        self.config = config
        self.programs = programs
        self.name = f"{policy.name} with {config.share:.0%} exploration"

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`. If the grammar has too few steps, the wrapped policy fills the remaining positions.

        Raises:
            ContextOverflow, TreestarError: as the wrapped policy does.
        """
        explored = self.explore(state, n, seed)
        own = n - len(explored)
        proposal = await self.policy.propose(state, own, sampling, seed) if own else Proposal(())
        steps = iter(proposal.steps)
        return replace(proposal, steps=tuple(explored[i] if i in explored else next(steps) for i in range(n)))

    def explore(self, state: State, n: int, seed: int) -> dict[int, Step]:
        """The steps from the grammar, by their position among the candidates 0 ... n - 1.

        The positions are evenly spaced from a random start, so the candidate at a position does not depend on n.
        """
        random = Random(f"{seed}/{state.problem.question}/{trajectory_text(state)}")
        share, start = self.config.share, random.random()
        places = [i for i in range(n) if floor(start + (i + 1) * share) > floor(start + i * share)]
        known = self.towards_programs(state)
        drawn = dict.fromkeys([*known, *in_drawing_order(drafts(scope_of(state)), random)]) if places else {}
        number = len(state.steps) + 1
        return {place: self.step(draft, number) for place, draft in zip(places, drawn, strict=False)}

    def towards_programs(self, state: State) -> list[Draft]:
        """The steps after which the trajectory is still the beginning of one of `programs`."""
        done = [code_without_comments(step.code) for step in state.steps]
        return [
            program[len(done)]
            for program in self.programs
            if len(program) > len(done) and [step.code for step in program[: len(done)]] == done
        ]

    def step(self, draft: Draft, number: int) -> Step:
        """A draft in the style of the shipped policy's steps: a comment, then code. It costs no tokens."""
        comment = f"# Now {draft.comment}" if draft.is_last else f"# Step {number}: {draft.comment}"
        code = f"{comment}\n{draft.code}"
        log_probability = log(self.config.share * draft.probability)
        return Step(code, code, "code" if draft.is_last else "step", log_probability=log_probability)
