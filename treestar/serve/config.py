"""Where the server listens, and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

__all__ = ["ServerConfig"]


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The command line's options are made from this class."""

    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines in."""
    port: int = 8000
    """The port to listen at; 0 takes a free one and prints it."""
    concurrency: int = 32
    """Searches at the same time."""
    queue: int = 128
    """Requests that may wait for their search; one more is turned away with 429."""
    grace_seconds: float = 30.0
    """After SIGTERM or Ctrl-C: how long running searches may go on before they are interrupted."""
    keep_alive_seconds: float = 5.0
    """How often a streaming client hears of its search's progress, in a comment that clients skip."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        if not 0 <= self.port < 2**16:
            raise ValueError(f"ServerConfig.port must be between 0 and 65535, not {self.port}")
        if self.concurrency < 1:
            raise ValueError(f"ServerConfig.concurrency must be 1 or more, not {self.concurrency}")
        if self.queue < 0:
            raise ValueError(f"ServerConfig.queue must be 0 or more, not {self.queue}")
        if not (isfinite(self.grace_seconds) and self.grace_seconds >= 0):
            raise ValueError(f"ServerConfig.grace_seconds must be 0 or more, not {self.grace_seconds}")
        if not (isfinite(self.keep_alive_seconds) and self.keep_alive_seconds > 0):
            raise ValueError(f"ServerConfig.keep_alive_seconds must be above 0, not {self.keep_alive_seconds}")
