"""Policies propose next steps: step formats, backends, and shipped models."""

from treestar.policy.backends.openai import OpenAIPolicy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.formats import ChatFormat, FormatName, RStarFormat, StepFormat
from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.load import load_policy

__all__ = [
    "ChatFormat",
    "FormatName",
    "LanguageModelPolicy",
    "OpenAIPolicy",
    "RStarFormat",
    "StepFormat",
    "TransformersPolicy",
    "load_policy",
]
