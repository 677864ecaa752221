"""What a caller asks of the generator, and the continuations that it grows for it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from treestar.concurrency import TURN
from treestar.policy.backends.decoding import Continuation
from treestar.policy.backends.distinct import Beam, Branch
from treestar.policy.backends.generated import Generation
from treestar.types import Sampling

__all__ = ["CandidateRow", "Request"]


@dataclass(slots=True, eq=False)
class Request:
    """`n` continuations of one prompt."""

    prompt: list[int]
    n: int
    sampling: Sampling
    seed: int
    stop_strings: tuple[str, ...]
    turn: int = field(default_factory=TURN.get)
    done: Future[Generation] = field(default_factory=Future)
    """Resolved when all continuations have ended; canceling it drops them."""
    ended: list[CandidateRow] = field(default_factory=list)
    """Continuations that have ended."""
    tokens: int = 0
    """New tokens computed so far."""
    noise: np.random.Generator = field(init=False)
    """The random numbers of distinct continuations."""

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Reset to the state in which nothing has been generated."""
        self.ended, self.tokens = [], 0
        self.noise = np.random.default_rng([self.seed, self.n])


@dataclass(slots=True, eq=False, kw_only=True)
class CandidateRow(Continuation):
    """Continuation `index` of a request, or one of the beginnings that its distinct continuations come from."""

    request: Request
    index: int
    beam: Beam = field(default_factory=Beam)

    def twin(self) -> CandidateRow:
        """A beginning with the same tokens."""
        tokens, log_probabilities = list(self.tokens), list(self.log_probabilities)
        return replace(self, tokens=tokens, log_probabilities=log_probabilities, row=-1)

    def turn(self) -> int:
        """See `TURN`."""
        return self.request.turn

    def follow(self, branch: Branch) -> None:
        """Continue with a branch's token."""
        self.tokens.append(branch.token)
        self.log_probabilities.append(branch.log_probability)
        self.beam = branch.beam
