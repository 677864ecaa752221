"""Runs the code of steps: isolated, with resource limits, in the interpreter state left by the parent step."""

from treestar.sandbox.config import Isolation, SandboxConfig
from treestar.sandbox.executor import SandboxExecutor

__all__ = ["Isolation", "SandboxConfig", "SandboxExecutor"]
