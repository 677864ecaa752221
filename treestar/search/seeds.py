"""Seeds of trees and requests by name."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["seed_of"]


def seed_of(*names: object) -> int:
    """A seed that depends only on `names`."""
    return int.from_bytes(blake2b(" ".join(map(str, names)).encode(), digest_size=8).digest(), "big") >> 1
