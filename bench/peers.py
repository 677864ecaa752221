"""Peers from PyPI, driven with treestar's own policy, executor, verifier and PPM: TreeQuest's StandardMCTS and
AB-MCTS-A, its_hub's beam search and particle filtering.

A peer decides where the next step is sampled; sampling, running and scoring it, and counting the tokens, is
treestar's `Search`, so that all strategies pay the same for the same. A peer stops once its generated tokens are used,
which is checked between its steps. Steps with the same code are run and scored once, and count as often as they were
sampled. What a peer sees of a state is 0 where a trajectory ended without an answer, and else the PPM's score mapped
to [0, 1]: the mean over the state's steps, because one score ignores earlier mistakes (docs/concepts/ppm.md).
Parameters are the libraries' defaults.

Where a library leaves a choice to its user, it is made in the peer's favour:

- TreeQuest's StandardMCTS is told the PPM's score of the new step alone, for it averages along the path by itself.
  AB-MCTS-A is told that of a trajectory completed from the new step: with the step's own score its default prior
  (mean 0) has it sample first steps for ever.
- TreeQuest knows no terminal nodes, and may select a finished trajectory. That costs no tokens. AB-MCTS-A, which
  chooses at random, is asked once more, so that it samples among the open nodes only. StandardMCTS would choose the
  same again; there the trajectory's score is backed up once more, as textbook MCTS does at a terminal node. After
  `IDLE_TRIALS` such trials in a row a fresh tree is begun, for StandardMCTS gives a node two children and no more, so
  that its tree can be used up.
- TreeQuest leaves the answer to its user: the PPM-weighted vote over the finished trajectories of all trees, which is
  what treestar uses.
- its_hub's budget is a number of trajectories. As many are asked for as the tokens left will pay for, and again until
  the tokens are used. Among the runs' responses the rule of both algorithms, the highest score, decides. A run that is
  cut off by the budget counts with the trajectories that it has finished.
- its_hub's trajectories stop at a step that failed, so that no tokens are spent beyond it.
- A peer that has no answer when its tokens are used may complete its best open state with further ones (they count).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import treequest
from its_hub.api import (
    AbstractLanguageModel,
    AbstractProcessRewardModel,
    AbstractScalingAlgorithm,
    ChatMessage,
    ChatMessages,
)
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.lms.step_generation import StepGeneration

from treestar import Problem
from treestar.policy.formats import END_OF_ANSWER, END_OF_STEP
from treestar.search import AnswerGroups, Components, Node, Search, Tree
from treestar.search.answer import Choice
from treestar.search.config import SamplingConfig
from treestar.search.confirm import choose_confirmed

__all__ = ["PEERS", "PeerResult"]

IDLE_TRIALS = 64
"""Trials of TreeQuest in a row that may fall on finished trajectories."""

BEAM_WIDTH = 4
"""its_hub's beam width in its documentation and its own benchmark."""

RUN_SHARE = 0.9
"""Share of the tokens left that a run of its_hub is planned to use; it may need more than the trajectories before."""


@dataclass(frozen=True, slots=True)
class PeerResult:
    """What a peer found for one problem, and what it used."""

    answer: str | None
    correct: bool
    generated_tokens: int
    scored_tokens: int
    executions: int


Grow = Callable[[Search[SamplingConfig]], Awaitable[None]]
"""Lets a peer spend the budget of a search that has begun, and puts the trajectories from which the answer is chosen
into its groups."""


async def run_peer(
    grow: Grow,
    choice: Choice,
    problem: Problem,
    components: Components,
    generated_tokens: int,
    temperature: float,
    seed: int,
) -> PeerResult:
    """Let a peer solve `problem` with about `generated_tokens` tokens; all random numbers hang on seed and problem."""
    config = SamplingConfig(max_generated_tokens=generated_tokens, temperature=temperature)
    tree = Tree(problem, "peer", config.to_json(), seed)
    interpreter = await components.executor.open()
    search = Search(config, components, tree, interpreter, AnswerGroups(components.verifier), Event())
    try:
        await search.begin()
        await grow(search)
        if not search.groups.groups:
            await complete_best(search)
    finally:
        await interpreter.close()
    chosen, _ = await choose_confirmed(search.groups, choice, problem, components)
    answer = None if chosen is None else chosen[0].answer
    correct = answer is not None and await components.verifier.accepts(problem, answer)
    stats = search.stats
    return PeerResult(answer, correct, stats.generated_tokens, stats.scored_tokens, stats.executions)


def step_value(node: Node) -> float:
    """What a peer is told of a state's last step, in [0, 1]."""
    return 0.0 if node.score is None else (1.0 + node.score) / 2.0


def value(node: Node) -> float:
    """What a peer is told of a state, in [0, 1]."""
    return 0.0 if node.score is None else sum(map(step_value, node.path())) / node.depth


async def score(search: Search[SamplingConfig], nodes: Sequence[Node]) -> None:
    """Score the nodes that are open or have an answer."""
    await search.score([node for node in nodes if node.terminal is None or node.answer is not None])


async def sample_step(search: Search[SamplingConfig], node: Node) -> Node:
    """The child that one sampled step leads to, or `node` itself where no step can follow."""
    [growth] = await search.expand({node: 1}, merge=True, keep_failures=True)
    await score(search, growth.new)
    await search.finish(growth.new)
    return next((child for child in growth.draws if child is not None), node)


async def complete_best(search: Search[SamplingConfig]) -> None:
    """Sample on from the open state with the highest score, whatever the budget, until it is finished."""
    open_nodes = [node for node in search.tree.nodes if node.terminal is None]
    node = max(open_nodes, key=value, default=search.tree.root)
    while node.terminal is None:
        node = await sample_step(search, node)


async def treequest_mcts(search: Search[SamplingConfig]) -> None:
    """StandardMCTS, told the value of each new step; finished trajectories are backed up again."""
    algorithm: treequest.StandardMCTS[Node] = treequest.StandardMCTS()
    while search.tree.root.terminal is None:
        tree, idle = algorithm.init_tree(), 0
        while idle < IDLE_TRIALS:
            if search.budget_spent() is not None:
                return
            tree, trial = algorithm.ask(tree, ["step"])
            node = search.tree.root if trial.parent_state is None else trial.parent_state
            idle = 0 if node.terminal is None else idle + 1
            if node.terminal is None:
                node = await sample_step(search, node)
            tree = algorithm.tell(tree, trial.trial_id, (node, step_value(node)))


async def treequest_ab_mcts_a(search: Search[SamplingConfig]) -> None:
    """AB-MCTS-A, told the value of a trajectory through each new step; asked again at finished trajectories."""
    algorithm: treequest.ABMCTSA[Node] = treequest.ABMCTSA()
    asked = 0
    while search.tree.root.terminal is None:
        tree, idle = algorithm.init_tree(), 0
        while idle < IDLE_TRIALS:
            if search.budget_spent() is not None:
                return
            # TreeQuest draws from numpy's global generator; so its draws hang on seed and problem alone.
            np.random.seed(search.tree.choice_seed(search.tree.root, asked) % 2**32)
            asked += 1
            tree, trial = algorithm.ask(tree, ["step"])
            node = search.tree.root if trial.parent_state is None else trial.parent_state
            idle = 0 if node.terminal is None else idle + 1
            if node.terminal is not None:
                continue
            node = end = await sample_step(search, node)
            while end.terminal is None and search.budget_spent() is None:
                end = await sample_step(search, end)
            tree = algorithm.tell(tree, trial.trial_id, (node, value(end)))


class BudgetSpent(Exception):
    """The tokens are used: ends a run of its_hub, which has no such limit."""


class StepModels(AbstractLanguageModel, AbstractProcessRewardModel):
    """its_hub's language model and process reward model for one problem. Both know states as texts."""

    def __init__(self, search: Search[SamplingConfig]) -> None:
        self.search = search
        self.node_of = {"": search.tree.root}
        """The state that a text stands for; a finished one's does not end with END_OF_STEP."""
        self.scorings = 0

    async def agenerate(
        self, messages: list[ChatMessage] | list[list[ChatMessage]], stop: str | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """One next step for each conversation; END_OF_ANSWER ends what cannot go on.

        Raises:
            BudgetSpent: the tokens were used before.
        """
        if self.search.budget_spent() is not None:
            raise BudgetSpent
        texts = ["".join(message.content for message in each[1:]) for each in messages]
        leaves = [self.node_of[text] for text in texts]
        grown = await self.search.expand(Counter(leaves), merge=True, keep_failures=True)
        await score(self.search, [child for growth in grown for child in growth.new])
        drawn = {growth.leaf: iter(growth.draws) for growth in grown}
        return [self.reply(text, leaf, next(drawn[leaf], None)) for text, leaf in zip(texts, leaves, strict=True)]

    def reply(self, text: str, leaf: Node, child: Node | None) -> dict[str, str]:
        """Say that `child` (None: the policy's context is full) follows `leaf`, for which its_hub has `text`."""
        step = "" if child is None or child.step is None else child.step.text
        state = child or leaf
        ending = END_OF_STEP if state.terminal is None else END_OF_ANSWER
        self.node_of[(text + step + ending).removesuffix(END_OF_ANSWER)] = state
        return {"role": "assistant", "content": step + ending}

    async def ascore(self, prompt_or_messages: str | list[ChatMessage] | ChatMessages, steps: list[str]) -> list[float]:
        """The values of the states that the texts `steps` stand for."""
        # What its_hub draws next, before anything else runs on this event loop, hangs on seed and problem.
        random.seed(self.search.tree.choice_seed(self.search.tree.root, self.scorings))
        self.scorings += 1
        return self.score(prompt_or_messages, steps)

    def score(self, prompt_or_messages: str | list[ChatMessage] | ChatMessages, steps: list[str]) -> list[float]:
        return [value(self.node_of[text]) for text in steps]


def beam_search(steps: StepGeneration, models: StepModels, trajectories: int) -> tuple[AbstractScalingAlgorithm, int]:
    """its_hub's beam search for about that many trajectories, and the budget to ask of it."""
    width = min(BEAM_WIDTH, max(trajectories // 2, 1))
    return BeamSearch(steps, models, width), trajectories - trajectories % width


def particle_filtering(
    steps: StepGeneration, models: StepModels, trajectories: int
) -> tuple[AbstractScalingAlgorithm, int]:
    """its_hub's particle filtering with that many particles, and the budget to ask of it."""
    return ParticleFiltering(steps, models), trajectories


async def grow_with_its_hub(
    make: Callable[[StepGeneration, StepModels, int], tuple[AbstractScalingAlgorithm, int]],
    search: Search[SamplingConfig],
) -> None:
    """Run the algorithm, with as many trajectories as the tokens left will pay for, until they are used."""
    config = search.config
    steps = StepGeneration(
        config.max_depth, END_OF_STEP, END_OF_ANSWER, config.temperature, include_stop_str_in_output=True
    )
    models = StepModels(search)
    trajectories = 0
    while search.tree.root.terminal is None and search.budget_spent() is None:
        algorithm, budget = make(steps, models, affordable(search, trajectories))
        trajectories += budget
        known = len(search.tree.nodes)
        try:
            response = await algorithm.ainfer(models, search.tree.problem.question, budget)
        except BudgetSpent:
            chosen = search.tree.nodes[known:]
        else:
            chosen = [models.node_of[response["content"]]]
        known_ends = {node for group in search.groups.groups for node in group.members}
        await search.finish([node for node in chosen if node not in known_ends])


def affordable(search: Search[SamplingConfig], trajectories: int) -> int:
    """How many trajectories to plan a run for, when so many have been run; the first run tells what one costs."""
    assert search.config.max_generated_tokens is not None
    used = search.stats.generated_tokens
    if used == 0:
        return 1
    return max(int(RUN_SHARE * (search.config.max_generated_tokens - used) * trajectories / used), 1)


Peer = Callable[[Problem, Components, int, float, int], Awaitable[PeerResult]]
"""(problem, components, generated tokens, temperature, seed) -> the result; see `run_peer`."""

PEERS: dict[str, Peer] = {
    "treequest_mcts": partial(run_peer, treequest_mcts, "weighted"),
    "treequest_ab_mcts_a": partial(run_peer, treequest_ab_mcts_a, "weighted"),
    "its_hub_beam": partial(run_peer, partial(grow_with_its_hub, beam_search), "best"),
    "its_hub_particles": partial(run_peer, partial(grow_with_its_hub, particle_filtering), "best"),
}
"""Every peer by name."""
