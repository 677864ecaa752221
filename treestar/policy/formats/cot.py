"""Prose, prompted for as the model's family expects: what an ordinary instruct model writes."""

from __future__ import annotations

from treestar.policy.formats.prose import ProseFormat
from treestar.policy.formats.step_format import FormatName

__all__ = ["CotFormat"]


class CotFormat(ProseFormat):
    """A chain of thought: paragraphs are steps, and nothing is executed."""

    name: FormatName = "cot"
