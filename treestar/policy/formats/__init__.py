"""Step formats, one file each: how a state becomes a prompt, and how a continuation becomes a step."""

from treestar.policy.formats.bound import BoundFormat
from treestar.policy.formats.chat import ChatFormat
from treestar.policy.formats.choose import same_steps, step_format_for, step_format_named
from treestar.policy.formats.chunk import CHUNK, END_OF_CHUNK, ChunkFormat
from treestar.policy.formats.code import CodeFormat
from treestar.policy.formats.cot import CotFormat
from treestar.policy.formats.families import INSTRUCT, family_named
from treestar.policy.formats.prose import repeats_paragraphs
from treestar.policy.formats.retrieval import RetrievalFormat
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import (
    ANSWER,
    END_OF_ANSWER,
    END_OF_CODE,
    END_OF_OUTPUT,
    END_OF_STEP,
    ENDINGS,
    OPENING,
    OUTPUT,
    PARAGRAPH,
    FormatName,
    Message,
    Piece,
    StepFormat,
    reply_parts,
    trajectory_text,
    written_text,
)
from treestar.policy.formats.templates import ChatTemplate, missing_bos, plain_template
from treestar.policy.formats.thinking import ThinkingFormat
from treestar.policy.formats.tir import TirFormat

__all__ = [
    "ANSWER",
    "CHUNK",
    "ENDINGS",
    "END_OF_ANSWER",
    "END_OF_CHUNK",
    "END_OF_CODE",
    "END_OF_OUTPUT",
    "END_OF_STEP",
    "INSTRUCT",
    "OPENING",
    "OUTPUT",
    "PARAGRAPH",
    "BoundFormat",
    "ChatFormat",
    "ChatTemplate",
    "ChunkFormat",
    "CodeFormat",
    "CotFormat",
    "FormatName",
    "Message",
    "Piece",
    "RStarFormat",
    "RetrievalFormat",
    "StepFormat",
    "ThinkingFormat",
    "TirFormat",
    "family_named",
    "missing_bos",
    "plain_template",
    "repeats_paragraphs",
    "reply_parts",
    "same_steps",
    "step_format_for",
    "step_format_named",
    "trajectory_text",
    "written_text",
]
