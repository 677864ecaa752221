"""What the causal models have in common whose score is the probability of one token as the next one against another."""

from __future__ import annotations

from typing import Any

from treestar.ppm.public.convention import Convention
from treestar.ppm.public.heads import token_pair
from treestar.ppm.reading import Head

__all__ = ["TokenPairConvention"]


class TokenPairConvention(Convention):
    """A subclass sets `right` and `wrong`, the ids of the two tokens."""

    right: int
    wrong: int

    def head(self, backbone: Any) -> Head:
        return token_pair(self.checkpoint, backbone, self.right, self.wrong)
