r"""Takes an answer out of what is wrapped around it: Markdown, tags, quotes, a printed Python list of strings."""

from __future__ import annotations

import ast
import re

__all__ = ["unwrapped"]

FENCE = re.compile(
    r"```[\w+-]*[ \t]*\n(?P<inner>.*?)\n?[ \t]*```|~~~[\w+-]*[ \t]*\n(?P<other>.*?)\n?[ \t]*~~~", re.DOTALL
)
MARKED = re.compile(
    r"\*{1,3}(?P<stars>[^*\n]+)\*{1,3}[.:]?|__(?P<lines>[^_\n]+)__|(?P<ticks>`{1,3})(?P<code>[^`\n]+)(?P=ticks)[.]?|~~(?P<struck>[^~\n]+)~~"
)
TAGGED = re.compile(
    r"<(?P<tag>answer|final_answer|result|solution|output|b|strong|em|i|code|p|span|math|u)>\s*(?P<inner>.*?)\s*</(?P=tag)>",
    re.DOTALL | re.IGNORECASE,
)
QUOTED = re.compile('(?P<mark>["\'“”‘’「『])(?P<inner>[^"“”「」『』\n]+)["\'“”‘’」』]')
MARKDOWN_LINE = re.compile(r"(?:>+|#{1,3}|[-*•])[ \t]+(?=\S)")
LONGEST_LIST = 2000
MOST_WRAPPINGS = 10
"""Layers that are taken off; a text of nothing but quotes has thousands."""


def unwrapped(text: str) -> str:
    """`text` without Markdown emphasis, code marks, tags and quotes around all of it."""
    text = text.strip()
    for _ in range(MOST_WRAPPINGS):
        inner = inner_text(text)
        if inner is None:
            break
        text = inner.strip()
    return text


def inner_text(text: str) -> str | None:
    """What is inside the outermost wrapping of `text`; None if it has none."""
    if not text or (text[0] not in "`~*_<\"'“‘「『>#-•[" and not text.endswith("**")):
        return None
    fence = FENCE.fullmatch(text)
    if fence is not None:
        return fence[fence.lastgroup or 0]
    for pattern in (MARKED, TAGGED, QUOTED):
        wrapped = pattern.fullmatch(text)
        if wrapped is not None:
            inner = wrapped[wrapped.lastgroup or 0]
            return inner if inner.strip() else None
    if text[0] == "[":
        return strings_in_list(text)
    line = MARKDOWN_LINE.match(text)
    # `- 5` is a number with a sign; a list item that says more than a number is one.
    if line is not None and "\n" not in text and not (text[0] == "-" and re.match(r"-\s+[\d.\\(a-z]", text)):
        return text[line.end() :]
    return None


def strings_in_list(text: str) -> str | None:
    r"""The strings of a printed list, `['\\frac{1}{2}', '3']`, as one list; None for anything else."""
    if len(text) > LONGEST_LIST or text[1:].lstrip()[:1] not in ("'", '"') or not text.endswith("]"):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item.strip() for item in value):
        return None
    return ", ".join(item.strip() for item in value)
