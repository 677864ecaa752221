"""Finds the final answer in a text by a model or a data set.

Every function scans the text a fixed number of times, so that the cost of a hostile text is linear in its length.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Statement", "boxed_contents", "extract_answer", "stated_answer", "without_delimiters"]

LONGEST_SCAN = 200_000
"""In characters; only the end of a longer text is read, because the final answer is there."""

BOX = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{")
BRACE = re.compile(r"\\\\|\\[{}]|[{}]")
SEPARATOR = re.compile(r"\b(?:and|or)\b|[,;]")
SENTENCE_END = re.compile(r"\.\$?\s|\n\n")
ANSWER_PHRASE = re.compile(
    r"####\s*|(?:\bfinal\s+)?\banswer\b(?:\s+(?:to|for|of)\s[^.\n$]{0,80}?)?\s*(?:\bis\b\s*:?|:|=)\s*(?:\*\*)?\s*",
    re.IGNORECASE,
)
FINAL_ANSWER = re.compile(r"\bfinal answer is\b:?", re.IGNORECASE)
CLOSING_REMARK = re.compile(
    r"(?:I hope (?:it|this) is correct|<\|im_start\|>|<\|im_end\|>|<\|endoftext\|>)", re.IGNORECASE
)
MATH = re.compile(
    r"(?<!\\)\$\$(?P<display>(?:[^$\\]|\\.)+)\$\$|(?<!\\)\$(?P<inline>(?:[^$\\]|\\.)+)\$"
    r"|\\\[(?P<bracket>(?:[^\\]|\\[^\[\]])+)\\\]|\\\((?P<round>(?:[^\\]|\\[^()])+)\\\)",
    re.DOTALL,
)
PLAIN_NUMBER = re.compile(
    r"(?<![\w.\\])[$€£¥]?\s?-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+)?(?<=\d)(?:\s?/\s?\d+(?!\d|\.\d)|:\d+)?"
    r"\s?(?:\\?%|percent\b)?(?:e[-+]?\d+)?(?![A-Za-z_\d])"
)
LATEX_COMMAND = re.compile(r"\\[a-zA-Z]{2,}")
UPRIGHT = re.compile(r"\\[a-zA-Z]+\s*\{[^{}\\]*\}")
BETWEEN_PARTS = re.compile(r"[\s,;]*(?:(?:and|or)[\s,;]*)?")
WORD = re.compile(r"(?<![\\A-Za-z.])[A-Za-z]{2,}(?![A-Za-z{(])")


class Box(NamedTuple):
    content: str
    start: int
    end: int


def boxes_in(text: str) -> list[Box]:
    r"""Each outermost `\boxed{...}` with balanced braces, in order."""
    found: list[Box] = []
    position = 0
    closing = closing_braces(text) if BOX.search(text) else {}
    while (match := BOX.search(text, position)) is not None:
        end = closing.get(match.end() - 1)
        if end is None:
            position = match.end()
            continue
        found.append(Box(text[match.end() : end].strip(), match.start(), end + 1))
        position = end + 1
    return found


def closing_braces(text: str) -> dict[int, int]:
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def boxed_contents(text: str) -> list[str]:
    r"""The content of each outermost `\boxed{...}` with balanced braces, in order."""
    return [box.content for box in boxes_in(text)]


def last_boxes(text: str) -> str | None:
    r"""The content of the last `\boxed{}`, together with those right before it that belong to the same list."""
    boxes = boxes_in(text)
    if not boxes:
        return None
    kept = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        between = text[box.end : kept[-1].start]
        same_sentence = len(between) < 70 and SENTENCE_END.search(between) is None
        same_list = same_sentence and SEPARATOR.search(between) is not None
        if not (len(between) < 10 or same_list) or box.content == kept[-1].content:
            break
        kept.append(box)
    contents = [without_delimiters(unboxed(box.content)) for box in reversed(kept)]
    return ", ".join(contents)


def stated_after_boxes(text: str) -> str | None:
    """The formula or number of a "final answer is" that comes after the last box and so overrides it."""
    for match in FINAL_ANSWER.finditer(text, boxes_in(text)[-1].end):
        return last_formula(first_paragraph(text[match.end() :]))
    return None


def unboxed(content: str) -> str:
    inner = boxes_in(content)
    while len(inner) == 1 and inner[0].start == 0 and inner[0].end == len(content):
        content = inner[0].content
        inner = boxes_in(content)
    return content


def extract_answer(text: str) -> str | None:
    r"""The final answer in `text`, or None if there is none.

    In order of preference: the last `\boxed{...}` with balanced braces (adjacent boxes form one list); the text after
    the last "answer is", "answer:" or "####"; the last formula or number.
    """
    text = text[-LONGEST_SCAN:]
    boxed = last_boxes(text)
    if boxed is not None:
        return stated_after_boxes(text) or boxed or None
    remark = CLOSING_REMARK.search(text)
    if remark is not None and text[: remark.start()].strip(" .\n"):
        text = text[: remark.start()].rstrip()
    phrases = list(ANSWER_PHRASE.finditer(text))
    if phrases:
        stated = first_paragraph(text[phrases[-1].end() :])
        if stated:
            return whole_or_last(stated)
    return last_formula(text)


def first_paragraph(text: str) -> str:
    stripped = text.strip()
    # A formula may be on separate lines; otherwise the statement ends with its line.
    if stripped.startswith(("$", "\\[", "\\(", "\\begin")):
        return stripped
    return stripped.split("\n", 1)[0].strip()


def whole_or_last(statement: str) -> str | None:
    """The whole statement if it is only an answer, else the last formula or number in it."""
    statement = statement.strip().strip("*").strip().removesuffix(".").strip('"“” ')
    bare = only_formulas(statement)
    if bare is not None:
        return bare
    formula = last_formula(statement)
    return formula if formula is not None else statement or None


def only_formulas(text: str) -> str | None:
    """The math in a text that consists of formulas, separators and at most one word; else None."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    if len(words) > 1 or (words and not MATH.search(text) and len(outside) > 40):
        return None
    return without_delimiters(text)


def plain_words(text: str) -> list[str]:
    """The prose words of `text`: not in upright type, not environment names, not list conjunctions."""
    prose = UPRIGHT.sub(" ", text)
    return [word for word in WORD.findall(prose) if word.lower() not in ("and", "or")]


def without_delimiters(text: str) -> str:
    """`text` without the dollar signs and brackets around its formulas; consecutive formulas become a list."""
    pieces: list[str] = []
    position = 0
    for match in MATH.finditer(text):
        between = text[position : match.start()]
        pieces.append(", " if position and not between.strip() else between)
        pieces.append(next(group for group in match.groups() if group is not None))
        position = match.end()
    return "".join([*pieces, text[position:]]).strip()


def last_formula(text: str) -> str | None:
    """The last formula or number, with those right before it that belong to the same list."""
    spans = [(m.start(), m.end(), next(g for g in m.groups() if g is not None).strip()) for m in MATH.finditer(text)]
    covered = [(start, end) for start, end, _ in spans]
    masked = list(text)
    for start, end in covered:
        masked[start:end] = " " * (end - start)
    spans += [(m.start(), m.end(), m[0].strip()) for m in PLAIN_NUMBER.finditer("".join(masked)) if m[0].strip()]
    spans.sort()
    if not spans:
        return None
    parts = [spans[-1]]
    for span in reversed(spans[:-1]):
        gap = text[span[1] : parts[-1][0]]
        if not gap.strip() or len(gap) > 12 or BETWEEN_PARTS.fullmatch(gap) is None:
            break
        parts.append(span)
    return ", ".join(part for _, _, part in reversed(parts))


class Statement(NamedTuple):
    """The answer in a text."""

    answer: str
    guessed: bool
    """Whether it is just the last formula of a text that does not state which formula is the answer."""


def stated_answer(text: str) -> Statement:
    """The answer to compare: `text` itself if it is a bare answer, else the result of `extract_answer`.

    A bare answer contains only formulas and one or two words; a sentence is not a bare answer.
    """
    text = text.strip()
    if BOX.search(text):
        return Statement(extract_answer(text) or text, guessed=False)
    if text.count("$") - text.count("\\$") == 1:
        return Statement(text, guessed=False)  # A single dollar sign is a currency, not a formula delimiter.
    if not is_prose(text):
        return Statement(without_delimiters(text), guessed=False)
    found = extract_answer(text)
    if found is None:
        return Statement(text, guessed=False)
    return Statement(found, guessed=ANSWER_PHRASE.search(text) is None)


def is_prose(text: str) -> bool:
    """Whether `text` consists of sentences with formulas, rather than one answer."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    if ANSWER_PHRASE.search(outside):
        return True
    if LATEX_COMMAND.search(outside):
        return False  # LaTeX without dollar signs; its words are in \\text{...}.
    return bool(words) if MATH.search(text) else len(words) >= 5
