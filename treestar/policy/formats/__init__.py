"""Step formats, one file each: how a state becomes a prompt, and how a continuation becomes a step."""

from treestar.policy.formats.bound import BoundFormat
from treestar.policy.formats.chat import ChatFormat, ChatTemplate, plain_template
from treestar.policy.formats.choose import step_format_for, step_format_named
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
    StepFormat,
    trajectory_text,
    written_text,
)

__all__ = [
    "ANSWER",
    "ENDINGS",
    "END_OF_ANSWER",
    "END_OF_CODE",
    "END_OF_OUTPUT",
    "END_OF_STEP",
    "OPENING",
    "OUTPUT",
    "PARAGRAPH",
    "BoundFormat",
    "ChatFormat",
    "ChatTemplate",
    "FormatName",
    "Message",
    "RStarFormat",
    "StepFormat",
    "plain_template",
    "step_format_for",
    "step_format_named",
    "trajectory_text",
    "written_text",
]
