"""One search in progress: how its tree grows by the steps that the policy proposes and the interpreter runs.

Growth happens in waves. All leaves of a wave are expanded concurrently and their children are added in the order of the
leaves, so a tree does not depend on which request finished first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import exp, fsum
from threading import Event
from typing import Generic, TypeVar

from treestar.concurrency import TURN, gather_all
from treestar.search.answer import AnswerGroups
from treestar.search.budget import uncounted_tokens
from treestar.search.closing import close, reopen
from treestar.search.config import SearchConfig, settled
from treestar.search.proposed import answer_text, checked_proposal
from treestar.search.result import SearchStats
from treestar.search.same_steps import merge_duplicates, step_key
from treestar.search.scores import checked_values
from treestar.search.tree import Node, TerminalReason, Tree
from treestar.types import (
    ContextOverflow,
    Execution,
    Executor,
    Interpreter,
    Policy,
    Problem,
    Proposal,
    Sampling,
    Scorer,
    Step,
    TreestarError,
    Verifier,
    as_policy,
)

__all__ = [
    "Components",
    "Expansion",
    "Growth",
    "Search",
    "prepared",
    "share_priors",
]

ConfigT_co = TypeVar("ConfigT_co", bound=SearchConfig, covariant=True)

PREAMBLE_RETRIES = 2
"""A preamble only assigns numbers: if it fails, the machine was too busy to run it in time."""


@dataclass(frozen=True, slots=True)
class Components:
    """The parts that a search works with."""

    policy: Policy
    executor: Executor
    verifier: Verifier
    scorer: Scorer | None = None
    """The PPM, if there is one."""

    def __post_init__(self) -> None:
        """Raises TreestarError if the policy cannot propose steps."""
        object.__setattr__(self, "policy", as_policy(self.policy))


@dataclass(slots=True)
class Candidate:
    """A proposed step, and the result of running it."""

    step: Step
    places: list[int]
    """Its indices among the sampled candidates; several if equal ones were merged."""
    execution: Execution
    known: Node | None = None
    """The existing child for this step, if there is one."""
    failure: TerminalReason | None = None
    answer: str | None = None


@dataclass(slots=True)
class Expansion:
    """What one expansion of a leaf found; the tree has not changed yet."""

    proposal: Proposal
    candidates: list[Candidate]
    overflow: bool = False
    """The state no longer fits the policy's context."""


@dataclass(slots=True)
class Growth:
    """What one expansion has added to the tree."""

    leaf: Node
    draws: list[Node | None]
    """For each sampled candidate, in sampling order, its child; None if its code failed and it was dropped. Of distinct
    candidates the new children come first, and those that were children before come last."""
    new: list[Node]
    """The newly added children, in order."""


@dataclass(slots=True)
class Search(Generic[ConfigT_co]):
    """A search in progress: its tree, and the resources it has used so far."""

    config: ConfigT_co
    components: Components
    tree: Tree
    groups: AnswerGroups
    stop: Event
    """Can be set from any thread, to end the search and return what it has found."""
    on_progress: Callable[[Search[SearchConfig]], None] = lambda _: None
    """Called after every wave."""
    survives_errors: bool | None = None
    """Whether a trajectory continues after a step whose code failed, in the state before it. None: where the policy is
    shown the error."""
    stats: SearchStats = field(default_factory=SearchStats)
    started: float = field(default_factory=time.perf_counter)
    turn: int = field(default_factory=count(1).__next__)
    """See `TURN`."""
    interpreter: Interpreter = field(init=False)
    """Runs the steps; given to `begin`."""
    sampling: Sampling = field(init=False)
    """How the policy draws steps; the same for every expansion, so made once."""
    max_depth: int = field(init=False)

    def __post_init__(self) -> None:
        self.sampling = self.config.sampling()
        self.max_depth = settled(self.config.max_depth)
        if self.survives_errors is None:
            # A policy that does not inherit from `Policy` need not say so.
            self.survives_errors = getattr(self.components.policy, "shows_errors", False)

    async def begin(self, interpreter: Interpreter) -> None:
        """Run the policy's preamble and add the root. In a later interpreter, only new trajectories can grow.

        Raises:
            TreestarError: the preamble failed, so no step could run.
        """
        self.interpreter = interpreter
        execution = await prepared(interpreter, self.components.policy, self.tree.problem, self.count)
        if self.tree.nodes:
            self.tree.root.execution = execution
            return
        self.tree.add_root(execution)
        self.stats.nodes = 1

    def count(self, execution: Execution) -> Execution:
        """Add what `execution` took to the statistics."""
        self.stats.executions += 1
        self.stats.executed_seconds += execution.seconds
        return execution

    def only_tokens_end_it(self) -> bool:
        """Whether the search has no limit that is reached for certain but that of tokens."""
        return self.config.ends() == ["max_generated_tokens"]

    def budget_spent(self) -> str | None:
        """What ends the search now: `interrupted`, the name of a limit in its budget, or None."""
        self.stats.seconds = time.perf_counter() - self.started
        return "interrupted" if self.stop.is_set() else self.config.spent(self.stats)

    async def expand(self, wanted: Mapping[Node, int], merge: bool, keep_failures: bool) -> list[Growth]:
        """Expand each leaf in `wanted` with the given number of candidates, in order. A leaf can be expanded again.

        Args:
            merge: merge candidates with the same code into one child, or into a child that already exists.
            keep_failures: keep candidates whose code failed as terminal children instead of dropping them.
        """
        TURN.set(self.turn)
        growing = [self.propose_and_run(leaf, n, merge) for leaf, n in wanted.items()]
        # A single leaf needs no separate task, which would cost more than the rest of its expansion.
        expansions = [await growing[0]] if len(growing) == 1 else await gather_all(growing)
        return [self.grow(leaf, each, keep_failures) for leaf, each in zip(wanted, expansions, strict=True)]

    async def propose_and_run(self, leaf: Node, n: int, merge: bool) -> Expansion:
        try:
            proposal = await self.propose(leaf, n)
        except ContextOverflow:
            return Expansion(Proposal(()), [], overflow=True)
        if not merge:
            candidates = [Candidate(step, [i], await self.execute(step, leaf)) for i, step in enumerate(proposal.steps)]
        else:
            candidates = await self.merge_and_run(leaf, proposal.steps)
        for candidate in candidates:
            candidate.failure, candidate.answer = self.outcome(candidate.step, candidate.execution)
        return Expansion(proposal, candidates)

    async def propose(self, leaf: Node, n: int) -> Proposal:
        """`n` candidates at a leaf. Where only the answer is left, its most probable statement says as much as several;
        more are drawn if that states none.

        Raises:
            ContextOverflow: the state no longer fits the policy's context.
        """
        policy, sampling = self.components.policy, self.sampling
        state, seed = self.tree.state(leaf), self.tree.draw_seed(leaf)
        spent: Proposal | None = None
        if n > 1 and policy.only_answer_left(state):
            greedy = replace(sampling, temperature=0.0, distinct=False)
            spent = checked_proposal(await policy.propose(state, 1, greedy, seed), 1, policy)
            if any(step.answer for step in spent.steps):
                leaf.drawn += 1
                return spent
        leaf.drawn += n
        if sampling.distinct:
            # Without replacement, drawing n more means drawing the earlier ones again and n others. Each time, less
            # probable ones are allowed.
            n = leaf.drawn
            leaf.times_drawn += 1
            sampling = replace(sampling, min_share=sampling.min_share**leaf.times_drawn)
        drawn = checked_proposal(await policy.propose(state, n, sampling, seed), n, policy)
        if spent is None:
            return drawn
        tokens = drawn.generated_tokens + spent.generated_tokens
        return replace(drawn, prompt_tokens=drawn.prompt_tokens + spent.prompt_tokens, generated_tokens=tokens)

    def one_is_enough(self, node: Node) -> bool:
        """Whether the most probable candidate at `node` says as much as several (`Policy.only_answer_left`)."""
        return self.components.policy.only_answer_left(self.tree.state(node))

    async def merge_and_run(self, leaf: Node, steps: Sequence[Step]) -> list[Candidate]:
        kind = self.tree.problem.kind
        known = {step_key(child.step, kind): child for child in leaf.children if child.step is not None}
        candidates = []
        for key, places in merge_duplicates(steps, kind).items():
            step = steps[places[0]]
            if len(places) > 1:
                # Keep the most probable wording: one that names the wrong thing can have the right code too.
                step = max((steps[place] for place in places), key=lambda each: each.log_probability)
            child = known.get(key)
            execution = await self.execute(step, leaf) if child is None else child.execution
            candidates.append(Candidate(step, places, execution, child))
        return candidates

    async def execute(self, step: Step, leaf: Node) -> Execution:
        if step.ending == "truncated":
            return Execution(error="the step was cut at the token limit")
        if not step.code:
            return Execution(snapshot=leaf.execution.snapshot)
        before = leaf.execution.snapshot
        execution = self.count(await self.interpreter.run(step.code, before))
        failed = execution.error is not None
        return replace(execution, snapshot=before) if failed and self.goes_on_after(step) else execution

    def goes_on_after(self, step: Step) -> bool:
        """Whether the trajectory continues after `step` although its code failed."""
        return bool(self.survives_errors) and step.ending == "step"

    def outcome(self, step: Step, execution: Execution) -> tuple[TerminalReason | None, str | None]:
        """Why a step that was run ends its trajectory without an answer, if it does, and the answer that it ends it
        with."""
        if step.ending == "truncated":
            return "truncated", None
        if execution.error is not None:
            return (None if self.goes_on_after(step) else "error"), None
        found = self.components.policy.final_answer(step, execution)
        if found is None:
            return None, None
        answer = answer_text(found, self.components.policy)
        return ("error" if answer == "" else None), answer or None

    async def score(self, nodes: Sequence[Node]) -> None:
        """If there is a PPM, score those of `nodes` that have no score yet.

        Raises:
            TreestarError: the scorer did not give one score in [-1, 1] for each.
        """
        scorer = self.components.scorer
        if scorer is None:
            return
        unscored = [node for node in nodes if node.score is None]
        if not unscored:
            return
        scores = await scorer.score([self.tree.state(node) for node in unscored])
        self.stats.scored_tokens += scores.tokens
        self.stats.judged_tokens += scores.generated_tokens
        for node, value in zip(unscored, checked_values(scores, len(unscored), scorer), strict=True):
            node.score, node.scores_path = value, scores.of_paths
        for node, analysis in zip(unscored, scores.analyses, strict=False):
            node.analysis = analysis

    async def finish(self, ends: Sequence[Node]) -> None:
        """Score all steps of the finished trajectories that have an answer, and add these to the answer groups."""
        answered = [node for node in ends if node.answer is not None]
        await self.score(list(dict.fromkeys(each for node in answered for each in node.path())))
        for node in answered:
            await self.groups.add(node)

    def grow(self, leaf: Node, expansion: Expansion, keep_failures: bool) -> Growth:
        """Add an expansion's candidates to the tree; a leaf that still has no children becomes terminal.

        Raises:
            TreestarError: only a budget of tokens ends the search, and the policy does not count any.
        """
        self.stats.prompt_tokens += expansion.proposal.prompt_tokens
        self.stats.generated_tokens += expansion.proposal.generated_tokens
        steps, distinct = expansion.proposal.steps, self.sampling.distinct
        if not self.stats.spent_tokens and self.only_tokens_end_it() and any(step.text for step in steps):
            raise uncounted_tokens(self.components.policy.name)
        growth = Growth(leaf, [None] * len(steps), [])
        if distinct:
            leaf.seen = max(leaf.seen, fsum(map(probability, steps)))
        for candidate in expansion.candidates:
            if candidate.failure is not None:
                self.stats.count_end(candidate.failure, len(candidate.places))
                if not keep_failures:
                    continue
            child = candidate.known
            if child is None:
                child = self.add_child(leaf, candidate)
                growth.new.append(child)
            elif not distinct:
                child.multiplicity += len(candidate.places)
            if distinct:
                # A child that is drawn again stands for the same texts and possibly more.
                child.multiplicity = max(child.multiplicity, len(candidate.places))
                child.probability = max(child.probability or 0.0, fsum(probability(steps[i]) for i in candidate.places))
            for place in candidate.places:
                growth.draws[place] = child
        leaf.children_mass = None
        if distinct:
            # Further candidates were asked for, and the earlier ones are only drawn again to find them. Among those
            # that failed, earlier ones cannot be told from others.
            growth.draws.sort(key=lambda child: 1 if child is None else 2 * (child not in growth.new))
        share_priors(leaf)
        if not leaf.children:
            leaf.terminal = "context" if expansion.overflow else "dead_end"
            self.stats.count_end(leaf.terminal)
        if leaf.open_children:
            reopen(leaf)
        elif not leaf.closed:
            close(leaf)
        self.stats.nodes += len(growth.new)
        return growth

    def add_child(self, leaf: Node, candidate: Candidate) -> Node:
        child = self.tree.add_child(leaf, candidate.step, candidate.execution)
        child.multiplicity = len(candidate.places)
        child.answer = candidate.answer
        child.terminal = candidate.failure or ("answer" if candidate.answer is not None else None)
        if child.terminal is None and child.depth >= self.max_depth:
            child.terminal = "max_depth"
            self.stats.count_end(child.terminal)
        child.closed = child.terminal is not None
        leaf.open_children += not child.closed
        return child


async def prepared(
    interpreter: Interpreter,
    policy: Policy,
    problem: Problem,
    count: Callable[[Execution], Execution] = lambda execution: execution,
) -> Execution:
    """What the policy's preamble leaves in the interpreter of a problem; an empty result without one.

    Args:
        count: is given every execution.

    Raises:
        TreestarError: the preamble failed, so no step can run.
    """
    code = policy.preamble(problem)
    if not code:
        return Execution()
    for _ in range(1 + PREAMBLE_RETRIES):
        execution = count(await interpreter.run(code, None))
        if execution.error is None:
            return execution
    raise TreestarError(f"the code that prepares problem {problem.id!r} failed: {execution.error}")


def probability(step: Step) -> float:
    """The policy's probability of a step's text, in (0, 1]."""
    return exp(max(step.log_probability, -700.0))


def share_priors(node: Node) -> None:
    """Set the priors of a node's children, which add up to 1."""
    weights = [prior_weight(child, child.step) for child in node.children if child.step]
    total = fsum(weights)
    for child, weight in zip(node.children, weights, strict=True):
        child.prior = weight / total


def prior_weight(child: Node, step: Step) -> float:
    """The weight of `child` in the prior: the policy's probability of it if known, else how often it was sampled times
    its length-normalized probability (the geometric mean over the tokens)."""
    if child.probability is not None:
        return child.probability
    per_token = step.log_probability / step.tokens if step.tokens > 1 else step.log_probability
    return child.multiplicity * exp(per_token if per_token > -700.0 else -700.0)
