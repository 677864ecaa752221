"""What the bootstrap policy is taught, in which shares, and at which learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treestar.selfevolve.corpus import Share
from treestar.selfevolve.training import TrainingConfig

__all__ = ["DEFAULT_MINUTES", "STAGES", "Stage"]

DEFAULT_MINUTES = 67.5
"""Training time of the embedded model's own run, all stages together."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the training: its data and its learning rates. A stage goes on from the last one's weights."""

    shares: Sequence[Share]
    time: float
    """Share of the training time."""
    matrix_rate: float
    other_rate: float
    warmup: float
    cooldown: float

    def config(self, minutes: float, seed: int) -> TrainingConfig:
        """How this stage is trained in a run of `minutes` in all."""
        return TrainingConfig(
            minutes=self.time * minutes,
            matrix_rate=self.matrix_rate,
            other_rate=self.other_rate,
            warmup=self.warmup,
            cooldown=self.cooldown,
            seed=seed,
        )


FIRST_SHARES: tuple[Share, ...] = (
    Share("gsm_symbolic", "taught", 44.0, 43 * 300),
    Share("chain_sum", "easy", 6.0, 600),
    Share("chain_sum", "mid", 0.25, 120),
    Share("chain_sum", "hard", 0.12, 60),
    Share("gcd", "easy", 3.0, 200),
    Share("gcd", "mid", 0.2, 100),
    Share("lcm", "easy", 3.0, 200),
    Share("lcm", "mid", 0.2, 100),
    Share("products", "easy", 3.0, 200),
    Share("products", "mid", 0.2, 100),
    Share("count_primes", "easy", 2.0, 200),
    Share("simple_equations", "easy", 7.0, 1500),
    Share("simple_geometry", "easy", 6.0, 600),
    Share("simple_geometry", "mid", 0.3, 100),
    Share("simple_geometry", "hard", 0.15, 60),
    Share("basic_arithmetic", "easy", 12.0, 4000),
    Share("basic_arithmetic", "mid", 1.0, 400),
    Share("basic_arithmetic", "hard", 0.5, 200),
    Share("leg_counting", "easy", 9.0, 3000),
    Share("leg_counting", "mid", 0.45, 200),
    Share("leg_counting", "hard", 0.2, 100),
    Share("fraction_simplification", "easy", 2.0, 200),
)
"""What is taught: the easy levels, a part of the gsm_symbolic templates, and a thin tail of longer problems."""

SECOND_SHARES: tuple[Share, ...] = (
    Share("gsm_symbolic", "taught", 18.0, 43 * 200),
    Share("chain_sum", "easy", 4.0, 600),
    Share("chain_sum", "mid", 0.12, 120),
    Share("chain_sum", "hard", 0.06, 60),
    Share("gcd", "easy", 2.0, 200),
    Share("gcd", "mid", 0.1, 100),
    Share("lcm", "easy", 2.0, 200),
    Share("lcm", "mid", 0.1, 100),
    Share("products", "easy", 2.0, 200),
    Share("products", "mid", 0.1, 100),
    Share("count_primes", "easy", 1.0, 200),
    Share("simple_equations", "easy", 4.0, 1500),
    Share("simple_geometry", "easy", 4.0, 600),
    Share("simple_geometry", "mid", 0.1, 100),
    Share("simple_geometry", "hard", 0.04, 60),
    Share("basic_arithmetic", "easy", 30.0, 6000),
    Share("basic_arithmetic", "mid", 2.5, 600),
    Share("basic_arithmetic", "hard", 1.2, 300),
    Share("leg_counting", "easy", 22.0, 6000),
    Share("leg_counting", "mid", 1.2, 400),
    Share("leg_counting", "hard", 0.5, 200),
    Share("fraction_simplification", "easy", 1.0, 200),
)
"""The second stage: after the first, two taught families lag behind (brackets, and copying the animals' names)."""

THIRD_SHARES: tuple[Share, ...] = (
    Share("gsm_symbolic", "taught", 18.0, 43 * 200),
    Share("chain_sum", "easy", 4.0, 600),
    Share("chain_sum", "mid", 0.05, 60),
    Share("chain_sum", "hard", 0.8, 100),
    Share("gcd", "easy", 2.0, 200),
    Share("gcd", "mid", 0.1, 100),
    Share("gcd", "hard", 0.12, 60),
    Share("lcm", "easy", 2.0, 200),
    Share("lcm", "mid", 0.1, 100),
    Share("lcm", "hard", 0.12, 60),
    Share("products", "easy", 2.0, 200),
    Share("products", "mid", 0.1, 100),
    Share("products", "hard", 0.12, 60),
    Share("count_primes", "easy", 1.0, 200),
    Share("simple_equations", "easy", 4.0, 1500),
    Share("simple_geometry", "easy", 4.0, 600),
    Share("simple_geometry", "mid", 0.05, 100),
    Share("simple_geometry", "hard", 0.02, 60),
    Share("basic_arithmetic", "easy", 22.0, 6000),
    Share("basic_arithmetic", "mid", 2.5, 600),
    Share("basic_arithmetic", "hard", 7.0, 800),
    Share("leg_counting", "easy", 22.0, 6000),
    Share("leg_counting", "mid", 0.4, 400),
    Share("leg_counting", "hard", 1.5, 300),
    Share("fraction_simplification", "easy", 1.0, 200),
)
"""The third stage, short: a thicker tail of the longest problems, so that search meets right paths there at all."""

STAGES: tuple[Stage, ...] = (
    Stage(FIRST_SHARES, 40 / 67.5, matrix_rate=4e-3, other_rate=2e-3, warmup=0.01, cooldown=0.45),
    Stage(SECOND_SHARES, 22 / 67.5, matrix_rate=2.5e-3, other_rate=1.25e-3, warmup=0.02, cooldown=0.8),
    Stage(THIRD_SHARES, 5.5 / 67.5, matrix_rate=1.5e-3, other_rate=7.5e-4, warmup=0.03, cooldown=0.9),
)
"""The stages in their order. Stage k draws its problems and batches with seed + k."""
