"""Policies propose next steps: the step format, the backends, and the embedded model."""

from treestar.policy.backends.openai import OpenAIPolicy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.formats import BoundFormat, ChatFormat, FormatName, RStarFormat, StepFormat
from treestar.policy.load import load_policy

__all__ = [
    "BoundFormat",
    "ChatFormat",
    "FormatName",
    "OpenAIPolicy",
    "RStarFormat",
    "StepFormat",
    "TransformersPolicy",
    "load_policy",
]
