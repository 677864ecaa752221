"""The policy that samples trajectories to learn from: it reads exactly the tokens that it wrote.

A loss is computed on a token under the tokens that were before it when it was drawn. So a trajectory is its prompt,
then the tokens of each step as they were generated, and between them the tokens of what the format puts there, such as
the output of code. No text of the policy is tokenized a second time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from treestar.policy.backends.generated import Generated, Generation
from treestar.policy.backends.local import LocalPolicy
from treestar.policy.backends.prompt_tokens import encode
from treestar.policy.formats import Piece, StepFormat, missing_bos, reply_parts
from treestar.types import ContextOverflow, Proposal, Sampling, State, Step

__all__ = ["OwnTokensPolicy", "TrajectoryTokens", "trajectory_tokens"]


class TrajectoryTokens(NamedTuple):
    """A state as tokens."""

    prompt: list[int]
    completion: list[int]
    """Everything after the prompt."""
    own: list[int]
    """For each token of the completion, 1 if the policy wrote it, 0 if it only read it."""


class OwnTokensPolicy(LocalPolicy):
    """`policy`, whose later prompts repeat the tokens that it generated.

    Args:
        max_tokens: maximum number of tokens of a trajectory, without its prompt; a step may use what is left.
    """

    def __init__(self, policy: LocalPolicy, max_tokens: int) -> None:
        super().__init__(policy.tokenizer, policy.format, policy.name, policy.context)
        self.policy = policy
        self.max_tokens = max_tokens

    async def generate(
        self, prompt: list[int], n: int, sampling: Sampling, seed: int, stop_strings: tuple[str, ...]
    ) -> Generation:
        return await self.policy.generate(prompt, n, sampling, seed, stop_strings)

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `LocalPolicy.propose`. Raises ContextOverflow if no token is left."""
        prompt, completion, _ = trajectory_tokens(self.tokenizer, self.format, state)
        left = min(self.max_tokens, self.context - len(prompt)) - len(completion)
        if left < 1:
            raise ContextOverflow(f"the trajectory of problem {state.problem.id!r} has as many tokens as allowed")
        return await super().propose(state, n, replace(sampling, max_tokens=min(sampling.max_tokens, left)), seed)

    def prompt_tokens(self, state: State) -> list[int]:
        prompt, completion, _ = trajectory_tokens(self.tokenizer, self.format, state)
        return prompt + completion

    def step(self, state: State, generated: Generated) -> Step:
        step = super().step(state, generated)
        ids = step.token_ids if self.format.keeps_tokens else generated.token_ids
        # Within a trajectory the end of a sequence would be out of place; at its end it is what the policy decided.
        if step.ending == "answer" and generated.end_token is not None:
            ids = (*ids, generated.end_token)
        return replace(step, token_ids=ids)


def trajectory_tokens(tokenizer: Any, step_format: StepFormat, state: State) -> TrajectoryTokens:
    """The tokens of `state`, up to where the next step begins. A step whose tokens are not known, because its end is
    within a token, is tokenized, and counts as read."""
    opening, *pieces = step_format.pieces(state) if step_format.keeps_tokens else pieces_of_tags(step_format, state)
    ids = encode(tokenizer, opening.text)
    completion: list[int] = []
    own: list[int] = []
    for piece in pieces:
        tokens = piece.token_ids or encode(tokenizer, piece.text)
        completion += tokens
        own += [int(bool(piece.token_ids))] * len(tokens)
    return TrajectoryTokens(missing_bos(tokenizer, ids) + ids, completion, own)


def pieces_of_tags(step_format: StepFormat, state: State) -> list[Piece]:
    """The prompt of a format of tags: the opening, each step, and what follows a step in later prompts."""
    steps = iter(state.steps)
    pieces = [Piece(step_format.prompt(State(state.problem)))]
    for text, is_written in reply_parts(step_format, state):
        pieces.append(Piece(text, next(steps).token_ids if is_written else ()))
    return pieces
