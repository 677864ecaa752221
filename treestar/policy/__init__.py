"""Policies propose next steps: the step format, the backends, and the embedded model."""

from treestar.policy.format import BoundFormat, ChatFormat, FormatName, RStarFormat, StepFormat
from treestar.policy.load import load_policy
from treestar.policy.openai import OpenAIPolicy
from treestar.policy.transformers import TransformersPolicy

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
