"""Ways of writing steps, one file each: how a state becomes a prompt, and a continuation a step."""

from treestar.policy.formats.bound import BoundFormat
from treestar.policy.formats.chat import EXAMPLES, ChatFormat, ChatTemplate, Message, chat_messages, plain_template
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
    StepFormat,
    trajectory_text,
    writes_prose,
    written_text,
)

__all__ = [
    "ANSWER",
    "ENDINGS",
    "END_OF_ANSWER",
    "END_OF_CODE",
    "END_OF_OUTPUT",
    "END_OF_STEP",
    "EXAMPLES",
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
    "chat_messages",
    "plain_template",
    "step_format_for",
    "step_format_named",
    "trajectory_text",
    "writes_prose",
    "written_text",
]
