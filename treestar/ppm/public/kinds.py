"""The names of the kinds of scorers, for command lines and configurations; importing them loads nothing."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["IMPLICIT_KIND", "JUDGE_KIND", "OWN_KIND", "SCORER_KINDS", "ScorerKind"]

ScorerKind = Literal[
    "ppm",
    "qwen-math-prm",
    "reasonflux-prm",
    "math-shepherd",
    "rlhflow-prm",
    "rlhflow-orm",
    "skywork-prm",
    "trl-prm",
    "pure-prm",
    "versa-prm",
    "math-psa",
    "reasoneval",
    "implicit-prm",
    "reward-model",
    "yes-no",
    "judge",
]
"""`ppm` is this project's own process preference model, also in the layout of the released rStar-Math code; `judge` is
a language model that writes an analysis and a verdict (docs/guides/judge.md); the others are conventions of public
models (docs/guides/scorers.md)."""

OWN_KIND: ScorerKind = "ppm"

IMPLICIT_KIND: ScorerKind = "implicit-prm"
"""The kind that has a second model, its reference."""

JUDGE_KIND: ScorerKind = "judge"
"""The kind that generates text; `treestar.judge` loads it."""

SCORER_KINDS: tuple[ScorerKind, ...] = get_args(ScorerKind)
