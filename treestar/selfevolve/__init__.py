"""Self-evolution: the bootstrap policy that it starts from, and the rounds that follow."""

__all__: list[str] = []
