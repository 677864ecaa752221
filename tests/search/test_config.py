"""Invalid settings are rejected with the field, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from treestar import (
    AdaptiveBranchingConfig,
    AdaptiveConsistencyConfig,
    BeamSearchConfig,
    BestOfNConfig,
    DVTSConfig,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("config_class", "field", "value"),
    [
        (MCTSConfig, "max_rollouts", 0),
        (MCTSConfig, "max_rollouts", 1.5),
        (MCTSConfig, "children", -1),
        (MCTSConfig, "children", True),
        (MCTSConfig, "temperature", NAN),
        (MCTSConfig, "temperature", -0.1),
        (MCTSConfig, "exploration", NAN),
        (MCTSConfig, "exploration", float("inf")),
        (MCTSConfig, "unvisited_value", NAN),
        (MCTSConfig, "top_p", 0.0),
        (MCTSConfig, "top_p", NAN),
        (MCTSConfig, "rule", "ucb"),
        (MCTSConfig, "on_error", "ignore"),
        (MCTSConfig, "stop_confidence", NAN),
        (MCTSConfig, "virtual_loss", -1),
        (GreedyConfig, "max_wall_seconds", NAN),
        (GreedyConfig, "max_wall_seconds", 0),
        (GreedyConfig, "max_generated_tokens", 0),
        (GreedyConfig, "max_depth", 0),
        (MajorityConfig, "samples", 0),
        (BestOfNConfig, "temperature", float("inf")),
        (BeamSearchConfig, "beam_width", 0),
        (BeamSearchConfig, "rounds", 0),
        (BeamSearchConfig, "choice", "loudest"),
        (DVTSConfig, "subtrees", 0),
        (DVTSConfig, "children", 0),
        (AdaptiveBranchingConfig, "beta_prior", 0.0),
        (AdaptiveBranchingConfig, "beta_prior", NAN),
        (AdaptiveBranchingConfig, "max_rollouts", 0),
        (AdaptiveConsistencyConfig, "stay_probability", 0.4),
        (AdaptiveConsistencyConfig, "stay_probability", 1.0),
    ],
)
def test_senseless_values_are_refused(config_class: Any, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{config_class.__name__}.{field} must be .*not") as caught:
        config_class(**{field: value})
    assert repr(value) in str(caught.value)
