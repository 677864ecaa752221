"""The address and the limits of the server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from treestar.config.checks import check_number, check_whole, invalid

__all__ = ["ServerConfig"]

ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@*,A-Z]+")
"""As browsers send it: scheme, host and port in lower case; no pattern, because origins are compared as they are, and
not several in one text. `null` is that of local files."""


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

    allowed_origins: tuple[str, ...] = ()
    """Web pages of this origin (`https://app.example`) can call the server; repeat it for several, or give a JSON list;
    * allows all pages. By default none can, only pages of the server's own origin."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        if not 0 <= self.port < 2**16:
            raise invalid(self, "port", "between 0 and 65535")
        check_whole(self, "concurrency")
        check_whole(self, "queue", at_least=0)
        check_number(self, "grace_seconds", at_least=0)
        check_number(self, "keep_alive_seconds", above=0)
        if not all(ORIGIN.fullmatch(origin) for origin in self.allowed_origins):
            raise invalid(
                self,
                "allowed_origins",
                "origins such as https://app.example, with nothing after the host and port, or *",
            )
