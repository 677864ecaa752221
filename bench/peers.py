"""Peers from PyPI, run with treestar's policy, executor, verifier and PPM: TreeQuest's StandardMCTS and
AB-MCTS-A, its_hub's beam search and particle filtering.

A peer decides where to sample the next step. treestar's `Search` samples, runs and scores it and counts the tokens, so
all strategies have the same costs. A peer stops once it has used its generated tokens, which is checked between its
steps. Steps with the same code are run and scored once, and count as often as they were sampled. A peer sees a state's
value as 0 if a trajectory ended without an answer, otherwise as the PPM's score mapped to [0, 1]: the mean over the
state's steps, because a single score ignores earlier mistakes (docs/concepts/ppm.md). Parameters are the libraries'
defaults.

Where a library leaves a choice to its user, the choice favors the peer:

- TreeQuest's StandardMCTS receives only the PPM's score of the new step, because it averages along the path itself.
  AB-MCTS-A receives the score of a trajectory completed from the new step: with the step's own score, its default prior
  (mean 0) makes it sample first steps forever.
- TreeQuest does not know terminal nodes and can select a finished trajectory. That costs no tokens. AB-MCTS-A chooses
  at random and is asked again, so that it samples only among the open nodes. StandardMCTS would choose the same node
  again, so the trajectory's score is backed up once more, as textbook MCTS does at a terminal node. After `IDLE_TRIALS`
  such trials in a row a new tree is started, because StandardMCTS gives a node only two children and can exhaust its
  tree.
- TreeQuest does not choose an answer. It is the PPM-weighted vote over the finished trajectories of all trees, as in
  treestar.
- its_hub's budget is a number of trajectories. Each run asks for as many as the remaining tokens allow, until the
  tokens are used. The response with the highest score wins, as in both algorithms. A run that the budget cuts off
  counts with its finished trajectories.
- its_hub's trajectories stop at a failed step, so that no tokens are spent after it.
- A peer without an answer when its tokens are used can complete its best open state with additional ones (they count).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
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
"""Consecutive TreeQuest trials that can select finished trajectories."""

BEAM_WIDTH = 4
"""its_hub's beam width in its documentation and its own benchmark."""

RUN_SHARE = 0.9
"""Share of the remaining tokens that an its_hub run is planned to use; it can need more than earlier trajectories."""


@dataclass(frozen=True, slots=True)
class PeerResult:
    """What a peer found for one problem, and what it used."""

    answer: str | None
    correct: bool
    generated_tokens: int
    scored_tokens: int
    executions: int


Grow = Callable[[Search[SamplingConfig]], Awaitable[None]]
"""Lets a peer spend the budget of a started search, and adds the trajectories from which the answer is chosen to the
search's groups."""


async def run_peer(
    grow: Grow,
    choice: Choice,
    problem: Problem,
    components: Components,
    generated_tokens: int,
    temperature: float,
    seed: int,
) -> PeerResult:
    """Let a peer solve `problem` with about `generated_tokens` tokens. Random numbers depend on seed and problem."""
    open_config = SamplingConfig(max_generated_tokens=generated_tokens, temperature=temperature)
    config = open_config.completed(components.policy.recommended)
    tree = Tree(problem, "peer", config.to_json(), seed)
    interpreter = await components.executor.open()
    search = Search(config, components, tree, AnswerGroups(components.verifier), Event())
    try:
        await search.begin(interpreter)
        await grow(search)
        if not search.groups.groups:
            await complete_best(search)
    finally:
        await interpreter.close()
    decision, _ = await choose_confirmed(search.groups, choice, problem, components)
    answer = None if decision is None else decision.node.answer
    correct = answer is not None and await components.verifier.accepts(problem, answer)
    stats = search.stats
    return PeerResult(answer, correct, stats.generated_tokens, stats.scored_tokens, stats.executions)


def step_value(node: Node) -> float:
    """The value of a state's last step that a peer receives, in [0, 1]."""
    return 0.0 if node.score is None else (1.0 + node.score) / 2.0


def value(node: Node) -> float:
    """The value of a state that a peer receives, in [0, 1]."""
    return 0.0 if node.score is None else sum(map(step_value, node.path())) / node.depth


async def score(search: Search[SamplingConfig], nodes: Sequence[Node]) -> None:
    """Score the nodes that are open or have an answer."""
    await search.score([node for node in nodes if node.terminal is None or node.answer is not None])


async def sample_step(search: Search[SamplingConfig], node: Node) -> Node:
    """The child that one sampled step leads to, or `node` itself if no step can follow. After a whole program also the
    statement of its answer, which peers need not draw again and again either."""
    [growth] = await search.expand({node: 1}, merge=True, keep_failures=True)
    await score(search, growth.new)
    await search.finish(growth.new)
    child = next((child for child in growth.draws if child is not None), node)
    if child.terminal is not None or not search.one_is_enough(child):
        return child
    return child.children[0] if child.children else await sample_step(search, child)


async def complete_best(search: Search[SamplingConfig]) -> None:
    """Continue from the open state with the highest score until it is finished, ignoring the budget."""
    open_nodes = [node for node in search.tree.nodes if node.terminal is None]
    node = max(open_nodes, key=value, default=search.tree.root)
    while node.terminal is None:
        node = await sample_step(search, node)


async def treequest_mcts(search: Search[SamplingConfig]) -> None:
    """StandardMCTS with the value of each new step; finished trajectories are backed up again."""
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
    """AB-MCTS-A with the value of a trajectory through each new step; asked again at finished trajectories."""
    algorithm: treequest.ABMCTSA[Node] = treequest.ABMCTSA()
    asked = 0
    while search.tree.root.terminal is None:
        tree, idle = algorithm.init_tree(), 0
        while idle < IDLE_TRIALS:
            if search.budget_spent() is not None:
                return
            # TreeQuest draws from numpy's global generator; seeded here, its draws depend only on seed and problem.
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
    """The tokens are used. Ends a run of its_hub, which has no token limit."""


class StepModels(AbstractLanguageModel, AbstractProcessRewardModel):
    """its_hub's language model and process reward model for one problem. Both represent states as texts."""

    def __init__(self, search: Search[SamplingConfig]) -> None:
        self.search = search
        self.node_of = {"": search.tree.root}
        """The state that a text represents. The text of a finished state does not end with END_OF_STEP."""
        self.scorings = 0

    async def agenerate(
        self, messages: list[ChatMessage] | list[list[ChatMessage]], stop: str | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """The next step of each conversation; END_OF_ANSWER ends those that cannot continue.

        Raises:
            BudgetSpent: the tokens were used before.
        """
        if self.search.budget_spent() is not None:
            raise BudgetSpent
        texts = ["".join(message.content for message in each[1:]) for each in messages]
        leaves = [self.node_of[text] for text in texts]
        grown = await self.search.expand(Counter(leaves), merge=True, keep_failures=True)
        await score(self.search, [child for growth in grown for child in growth.new])
        # One statement of what was printed stands for all that were asked for.
        drawn = {growth.leaf: cycle(growth.draws) for growth in grown}
        return [self.reply(text, leaf, next(drawn[leaf], None)) for text, leaf in zip(texts, leaves, strict=True)]

    def reply(self, text: str, leaf: Node, child: Node | None) -> dict[str, str]:
        """Record that `child` (None: the policy's context is full) follows `leaf`, whose its_hub text is `text`."""
        step = "" if child is None or child.step is None else child.step.text
        state = child or leaf
        ending = END_OF_STEP if state.terminal is None else END_OF_ANSWER
        self.node_of[(text + step + ending).removesuffix(END_OF_ANSWER)] = state
        return {"role": "assistant", "content": step + ending}

    async def ascore(self, prompt_or_messages: str | list[ChatMessage] | ChatMessages, steps: list[str]) -> list[float]:
        """The values of the states that the texts `steps` represent."""
        # its_hub's next draws, before anything else runs on this event loop, depend on seed and problem.
        random.seed(self.search.tree.choice_seed(self.search.tree.root, self.scorings))
        self.scorings += 1
        return self.score(prompt_or_messages, steps)

    def score(self, prompt_or_messages: str | list[ChatMessage] | ChatMessages, steps: list[str]) -> list[float]:
        return [value(self.node_of[text]) for text in steps]


def beam_search(steps: StepGeneration, models: StepModels, trajectories: int) -> tuple[AbstractScalingAlgorithm, int]:
    """its_hub's beam search for about this many trajectories, and the budget to request."""
    width = min(BEAM_WIDTH, max(trajectories // 2, 1))
    return BeamSearch(steps, models, width), trajectories - trajectories % width


def particle_filtering(
    steps: StepGeneration, models: StepModels, trajectories: int
) -> tuple[AbstractScalingAlgorithm, int]:
    """its_hub's particle filtering with this many particles, and the budget to request."""
    return ParticleFiltering(steps, models), trajectories


async def grow_with_its_hub(
    make: Callable[[StepGeneration, StepModels, int], tuple[AbstractScalingAlgorithm, int]],
    search: Search[SamplingConfig],
) -> None:
    """Run the algorithm with as many trajectories as the remaining tokens allow, until they are used."""
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
    """How many trajectories to plan for the next run. The first run measures the cost of one."""
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
