"""What a scorer gave is checked before search relies on it: a scorer can be anyone's, and a model can overflow.

A value that is not a number compares as false with all others, so that its node would be selected again and again.
"""

from __future__ import annotations

from treestar.types import Scorer, Scores, TreestarError

__all__ = ["checked_values"]

LARGEST_SCORE = 1.001
"""1, and what arithmetic in half precision may add to it, which is taken off again."""


def checked_values(scores: Scores, states: int, scorer: Scorer) -> list[float]:
    """The values of `scores`, which are for so many states.

    Raises:
        TreestarError: there is not one value for each of them, or one is not a number in [-1, 1].
    """
    values, name = [float(each) for each in scores.values], getattr(scorer, "name", type(scorer).__name__)
    if len(values) != states:
        raise TreestarError(
            f"the scorer {name} gave {len(values)} values for {states} states: Scores.values has one for each of them"
        )
    for value in values:
        if not abs(value) <= LARGEST_SCORE:
            raise TreestarError(
                f"the scorer {name} gave the score {value:g}: scores are numbers in [-1, 1], such as 2p - 1 of a "
                "probability p or tanh(r) of a reward r"
            )
    return [min(max(value, -1.0), 1.0) for value in values]
