"""Random draws that depend only on names, so that they are the same in every process and in a resumed run."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["lot_of", "seed_of"]


def seed_of(*names: object) -> int:
    """A seed in [0, 2^63) that depends only on `names`."""
    return int.from_bytes(blake2b(" ".join(map(str, names)).encode(), digest_size=8).digest(), "big") >> 1


def lot_of(name: str) -> float:
    """A number in [0, 1) that depends only on `name`; uniformly distributed over names."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big") / 2**48
