"""The former place of `treestar.sandbox`."""

import warnings

from treestar.config.renamed import renaming
from treestar.sandbox import Isolation, SandboxConfig, SandboxExecutor

__all__ = ["Isolation", "SandboxConfig", "SandboxExecutor"]

warnings.warn(renaming("treestar.verifier.sandbox", "treestar.sandbox"), FutureWarning, stacklevel=2)
