"""Trajectories to learn from: sampled by the engine, each step executed in the sandbox, and judged at their end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from treestar.concurrency import gather_all
from treestar.policy.programs import writing_programs
from treestar.search.answer import AnswerGroups
from treestar.search.baselines import sample, unchanged_sampling
from treestar.search.engine import grown
from treestar.search.expansion import Components, Search
from treestar.search.tree import Node, TerminalReason, Tree
from treestar.seeds import seed_of
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.policy import OwnTokensPolicy, TrajectoryTokens, trajectory_tokens
from treestar.types import Problem, State
from treestar.verifier import AnswerVerifier
from treestar.verifier.grading.questions import QuestionVerifier
from treestar.verifier.programs.unit_tests import UnitTestVerifier

__all__ = ["Rollout", "parts_for", "sample_groups"]


@dataclass(slots=True, eq=False)
class Rollout:
    """One sampled trajectory."""

    trajectory: State
    ended: TerminalReason
    answer: str | None
    correct: bool | None
    """Whether the answer is right; None if the problem has neither a gold answer nor tests."""
    has_reasoning: bool
    prompt_ids: list[int]
    completion_ids: list[int]
    """Never empty; it ends with the last token that the policy wrote."""
    own: list[int]
    """Which of these the policy wrote."""
    rewards: dict[str, float | None] = field(default_factory=dict)
    reward: float | None = None
    """Their weighted sum; None if none of them applies."""

    @property
    def problem(self) -> Problem:
        return self.trajectory.problem

    @property
    def generated_tokens(self) -> int:
        return sum(self.own)

    @property
    def executed_steps(self) -> int:
        return sum(bool(step.code) for step in self.trajectory.steps)

    @property
    def failed_steps(self) -> int:
        """Steps whose code failed."""
        steps = zip(self.trajectory.steps, self.trajectory.executions, strict=True)
        return sum(bool(step.code) and execution.error is not None for step, execution in steps)

    @property
    def is_void(self) -> bool:
        """Whether it ends in a turn with neither code nor an answer."""
        return self.answer is None and not self.trajectory.steps[-1].code


async def sample_groups(
    problems: Sequence[Problem], count: int, config: GRPOConfig, components: Components, seed: int
) -> list[list[Rollout]]:
    """`count` trajectories of each problem, in the order of `problems`; none where a problem's prompt leaves no room.
    A question that is there several times gets other trajectories each time.

    Raises:
        TreestarError: the policy or the executor failed permanently.
    """
    places = asyncio.Semaphore(config.concurrency)
    repeats: Counter[str] = Counter()

    async def group(problem: Problem, repeat: int) -> list[Rollout]:
        async with places:
            own_seed = seed_of(seed, repeat) if repeat else seed
            return await sample_group(problem, count, config, parts_for(problem, components), own_seed)

    groups = []
    for problem in problems:
        groups.append(group(problem, repeats[problem.question]))
        repeats[problem.question] += 1
    return await gather_all(groups)


async def sample_group(
    problem: Problem, count: int, config: GRPOConfig, components: Components, seed: int
) -> list[Rollout]:
    policy = components.policy
    assert isinstance(policy, OwnTokensPolicy)
    sampling = unchanged_sampling(count, config.temperature, config.max_depth, config.max_step_tokens)
    settings = sampling.completed(policy.recommended)
    tree = Tree(problem, "grpo", settings.to_json(), seed)
    continues = None if config.after_error is None else config.after_error == "continue"
    search = Search(settings, components, tree, AnswerGroups(components.verifier), Event(), survives_errors=continues)
    await grown(search, sample)
    if tree.root.terminal is not None:
        return []
    return await gather_all(judged(tree, node, policy, components) for node in tree.terminals())


async def judged(tree: Tree, node: Node, policy: OwnTokensPolicy, components: Components) -> Rollout:
    trajectory, problem = tree.state(node), tree.problem
    correct: bool | None = None
    if problem.answer is not None or problem.kind == "code":
        correct = node.answer is not None and await components.verifier.accepts(problem, node.answer)
    tokens = up_to_last_own(trajectory_tokens(policy.tokenizer, policy.format, trajectory), policy.tokenizer)
    assert node.terminal is not None
    return Rollout(trajectory, node.terminal, node.answer, correct, policy.format.has_reasoning(trajectory), *tokens)


def up_to_last_own(tokens: TrajectoryTokens, tokenizer: Any) -> TrajectoryTokens:
    """`tokens` without those after the last that the policy wrote. Where it wrote none, one that is only read is left:
    TRL cannot handle an empty completion."""
    length = max((place for place, own in enumerate(tokens.own, start=1) if own), default=0)
    if length == 0:
        return TrajectoryTokens(tokens.prompt, [tokenizer.eos_token_id or 0], [0])
    return TrajectoryTokens(tokens.prompt, tokens.completion[:length], tokens.own[:length])


def parts_for(problem: Problem, components: Components) -> Components:
    """The components for a problem: one that asks for a program gets one, judged by its unit tests, and the answer to a
    question about facts is compared as in SQuAD."""
    if problem.kind == "code":
        verifier = UnitTestVerifier(components.executor)
        return replace(components, policy=writing_programs(components.policy), verifier=verifier)
    if problem.kind == "qa" and isinstance(components.verifier, AnswerVerifier):
        return replace(components, verifier=QuestionVerifier())
    return components
