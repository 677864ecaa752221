"""The reasoning-gym families in use: their levels, and the groups of gsm_symbolic's templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["GSM_GROUPS", "LEVELS", "cells"]

GSM_GROUPS: Mapping[str, tuple[int, ...]] = {
    "taught": (
        1, 3, 4, 5, 8, 9, 12, 16, 18, 19, 20, 21, 22, 23, 24, 25, 27, 29, 31, 33, 36, 38, 40, 42, 45, 47, 48, 50, 54,
        55, 57, 60, 62, 64, 72, 73, 85, 89, 91, 93, 94, 95, 96,
    ),
    "untaught": (2, 6, 7, 11, 17, 26, 34, 41, 44, 46, 49, 51, 52, 53, 58, 66, 67, 69, 75, 78, 82, 84, 92, 99),
    "heldout": (0, 10, 13, 14, 15, 28, 30, 39, 43, 56, 59, 68, 70, 71, 80, 81, 83, 88),
}  # fmt: skip
"""Disjoint groups of gsm_symbolic templates: `taught` can be learned from written solutions, `untaught` only from
search, and `heldout` is only for evaluation (drawn at random with seed 2026)."""

LEVELS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "chain_sum": {
        "easy": {"min_terms": 2, "max_terms": 4, "max_digits": 5},
        "mid": {"min_terms": 5, "max_terms": 6, "max_digits": 5},
        "hard": {"min_terms": 7, "max_terms": 9, "max_digits": 6},
    },
    "gcd": {
        "easy": {"min_numbers": 2, "max_numbers": 3, "max_value": 1000},
        "mid": {"min_numbers": 4, "max_numbers": 4, "max_value": 10_000},
        "hard": {"min_numbers": 5, "max_numbers": 6, "max_value": 1_000_000},
    },
    "lcm": {
        "easy": {"min_numbers": 2, "max_numbers": 3, "max_value": 100},
        "mid": {"min_numbers": 4, "max_numbers": 4, "max_value": 100},
        "hard": {"min_numbers": 5, "max_numbers": 6, "max_value": 1000},
    },
    "products": {
        "easy": {"min_terms": 2, "max_terms": 3, "max_digits": 5},
        "mid": {"min_terms": 4, "max_terms": 5, "max_digits": 5},
        "hard": {"min_terms": 6, "max_terms": 8, "max_digits": 6},
    },
    "count_primes": {
        "easy": {"max_n": 1000},
        "mid": {"max_n": 10_000},
        "hard": {"max_n": 100_000},
    },
    "simple_equations": {
        "easy": {"min_terms": 2, "max_terms": 3, "max_value": 100},
        "mid": {"min_terms": 3, "max_terms": 4, "max_value": 1000},
        "hard": {"min_terms": 5, "max_terms": 6, "max_value": 10_000},
    },
    "simple_geometry": {
        "easy": {"min_sides": 3, "max_sides": 5},
        "mid": {"min_sides": 6, "max_sides": 7},
        "hard": {"min_sides": 8, "max_sides": 10},
    },
    "basic_arithmetic": {
        "easy": {"min_terms": 2, "max_terms": 3},
        "mid": {"min_terms": 4, "max_terms": 4},
        "hard": {"min_terms": 5, "max_terms": 6},
    },
    "leg_counting": {
        "easy": {"min_animals": 2, "max_animals": 4, "max_instances": 50},
        "mid": {"min_animals": 5, "max_animals": 6, "max_instances": 50},
        "hard": {"min_animals": 7, "max_animals": 9, "max_instances": 50},
    },
    "fraction_simplification": {
        "easy": {"styles": ("plain",), "max_value": 100, "max_factor": 20},
        "mid": {"styles": ("plain",), "max_value": 1000, "max_factor": 100},
        "hard": {"styles": ("plain",), "max_value": 100_000, "max_factor": 1000},
    },
    "gsm_symbolic": {group: {"templates": templates} for group, templates in GSM_GROUPS.items()},
}
"""Each family's levels, with their reasoning-gym settings. The "levels" of gsm_symbolic are its groups."""


def cells() -> tuple[tuple[str, str], ...]:
    """Every (family, level), in a fixed order."""
    return tuple((family, level) for family, levels in LEVELS.items() for level in levels)
