"""The server process: the socket, the startup message, and a graceful shutdown."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from types import FrameType

import uvicorn

from treestar.serve.app import make_app
from treestar.serve.config import ServerConfig
from treestar.serve.searches import Searches
from treestar.solver import Solver
from treestar.types import TreestarError

__all__ = ["API_KEY_VARIABLE", "Server", "bind", "serve"]

API_KEY_VARIABLE = "TREESTAR_API_KEY"
"""The environment variable of the API key that clients must send; if unset, every client is accepted."""

LAST_WORDS_SECONDS = 5
"""Seconds for clients to read the remaining answers after all searches have ended."""


class Server(uvicorn.Server):
    """uvicorn, but after SIGTERM or SIGINT it keeps listening (and answers 503) until the running searches have
    answered. A second signal interrupts them at once."""

    def __init__(self, solver: Solver, config: ServerConfig, api_key: str | None) -> None:
        self.searches = Searches(solver, config.concurrency, config.queue)
        self.grace_seconds = config.grace_seconds
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closing: asyncio.Task[None] | None = None
        app = make_app(self.searches, api_key, config.keep_alive_seconds, config.allowed_origins)
        settings = uvicorn.Config(
            app, lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=LAST_WORDS_SECONDS
        )
        super().__init__(settings)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        assert sockets
        policy = self.searches.solver.components.policy.name
        print(f"treestar serves policy {policy} at {url_of(sockets[0])}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Start to shut down; a second call interrupts the searches. Can be called from any thread after startup."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.close_or_hurry)

    def close_or_hurry(self) -> None:
        if self.closing is None:
            self.closing = asyncio.create_task(self.close())
        else:
            self.searches.end()

    async def close(self) -> None:
        await self.searches.close(self.grace_seconds)
        self.should_exit = True


def serve(solver: Solver, config: ServerConfig, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Args:
        listener: the socket from `bind`.
    """
    api_key = os.environ.get(API_KEY_VARIABLE) or None
    if api_key is None and not is_loopback(listener):
        print(f"warning: other machines can use this server; set {API_KEY_VARIABLE} to require a key", file=sys.stderr)
    Server(solver, config, api_key).run(sockets=[listener])


def bind(config: ServerConfig) -> socket.socket:
    """The listening socket. Connections wait until the server has started.

    Raises:
        TreestarError: the address does not exist or is in use.
    """
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TreestarError(f"cannot listen on {config.host} port {config.port}: {reason}") from error


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def is_loopback(listener: socket.socket) -> bool:
    host = str(listener.getsockname()[0])
    return host == "::1" or host.startswith("127.")
