"""Finding the final answer in what a model or a data set wrote."""

from __future__ import annotations

import re

__all__ = ["boxed_contents", "extract_answer"]

_BOX = re.compile(r"\\f?boxed\s*\{")
_ANSWER_PHRASES = (
    re.compile(r"####\s*([^\n]+)"),
    re.compile(r"(?:final\s+)?answer\s*(?:is|:|=)\s*:?\s*([^\n]+)", re.IGNORECASE),
)
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:/\d+)?(?<=\d)")


def boxed_contents(text: str) -> list[str]:
    r"""What stands in each outermost `\boxed{...}` with balanced braces, in order."""
    contents: list[str] = []
    position = 0
    while (match := _BOX.search(text, position)) is not None:
        end = _closing_brace(text, match.end())
        if end is None:
            position = match.end()
            continue
        contents.append(text[match.end() : end].strip())
        position = end + 1
    return contents


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return None


def extract_answer(text: str) -> str | None:
    """The final answer that `text` states, or None."""
    boxes = boxed_contents(text)
    if boxes:
        return boxes[-1]
    for phrase in _ANSWER_PHRASES:
        matches = phrase.findall(text)
        if matches:
            return str(matches[-1]).strip().rstrip(".").strip("$ ") or None
    numbers = [match[0] for match in _NUMBER.finditer(text) if match[0]]
    return numbers[-1] if numbers else None
