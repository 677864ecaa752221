"""Runs the code of steps: isolated, limited, and in the interpreter state that the parent step left."""

from treestar.verifier.sandbox.config import Isolation, SandboxConfig
from treestar.verifier.sandbox.executor import SandboxExecutor

__all__ = ["Isolation", "SandboxConfig", "SandboxExecutor"]
