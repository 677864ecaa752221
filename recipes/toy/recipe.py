"""The problems that the bootstrap policy is taught, their proportions, and its training settings."""

from __future__ import annotations

from recipes.toy.corpus import Share
from recipes.toy.training import TrainingConfig

__all__ = ["SHARES", "TRAINING"]

SHARES: tuple[Share, ...] = (
    Share("gsm_symbolic", "taught", 30.0, 43 * 600),
    Share("chain_sum", "easy", 5.0, 600),
    Share("gcd", "easy", 2.5, 200),
    Share("lcm", "easy", 2.5, 200),
    Share("products", "easy", 2.5, 200),
    Share("count_primes", "easy", 1.0, 200),
    Share("simple_equations", "easy", 6.0, 3000),
    Share("simple_geometry", "easy", 4.0, 600),
    Share("basic_arithmetic", "easy", 20.0, 8000),
    Share("leg_counting", "easy", 20.0, 30_000),
    Share("fraction_simplification", "easy", 1.5, 200),
    Share("gcd", "mid", 0.2, 100),
    Share("gcd", "hard", 0.1, 60),
    Share("lcm", "mid", 0.2, 100),
    Share("lcm", "hard", 0.1, 60),
    Share("products", "mid", 0.2, 100),
    Share("products", "hard", 0.1, 60),
    Share("chain_sum", "mid", 0.25, 200),
    Share("chain_sum", "hard", 0.1, 100),
    Share("simple_geometry", "mid", 0.3, 100),
    Share("simple_geometry", "hard", 0.1, 60),
    Share("basic_arithmetic", "mid", 2.0, 2000),
    Share("basic_arithmetic", "hard", 0.7, 600),
    Share("leg_counting", "mid", 1.0, 1500),
    Share("leg_counting", "hard", 0.3, 400),
)
"""The taught cells: the easy levels, some of the gsm_symbolic templates, and a thin tail of longer problems. Without
the tail search would not find correct paths there: the policy solves almost no problem of a length that it has not
seen."""

TRAINING = TrainingConfig(tokens=64_063_437, matrix_rate=4e-3, other_rate=2e-3, cooldown=0.45, longest_gap=24)
"""The training of the shipped bootstrap policy: minutes on a GPU, about four hours on two cores."""
