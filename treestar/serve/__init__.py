"""An OpenAI-compatible chat completions endpoint behind which each request is a search (docs/guides/serve.md)."""

from treestar.serve.config import ServerConfig

__all__ = ["ServerConfig"]
