"""The address and the limits of the server."""

from __future__ import annotations

from dataclasses import dataclass

from treestar.config.checks import check_number, check_whole, invalid

__all__ = ["ServerConfig"]


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The command-line options come from this class."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 accepts connections from other machines."""
    port: int = 8000
    """The port to listen on; 0 takes a free one and prints it."""
    concurrency: int = 32
    """Maximum number of searches at the same time."""
    queue: int = 128
    """Maximum number of waiting requests; more are rejected with 429."""
    grace_seconds: float = 30.0
    """After SIGTERM or Ctrl-C: how long running searches can continue before they are interrupted."""
    keep_alive_seconds: float = 5.0
    """Interval of progress comments in a stream, which clients skip."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        if not 0 <= self.port < 2**16:
            raise invalid(self, "port", "between 0 and 65535")
        check_whole(self, "concurrency")
        check_whole(self, "queue", at_least=0)
        check_number(self, "grace_seconds", at_least=0)
        check_number(self, "keep_alive_seconds", above=0)
