"""An OpenAI-compatible chat completions endpoint that answers each request with a search (docs/guides/serve.md)."""

from treestar.serve.config import ServerConfig

__all__ = ["ServerConfig"]
