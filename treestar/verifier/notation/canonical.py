"""Rewrites the many notations of an answer into one small dialect of LaTeX.

`canonical` applies a fixed sequence of rewriting rules, each with its reason. The output uses: `\\frac{a}{b}`,
`\\sqrt[n]{a}`, `^{...}`, `\\cdot`, `\\text{...}` for every kind of upright text, `\\le \\ge \\ne \\in \\cup \\infty
\\pi`, backslashed function names, `,` for "and" and "or", and no `\\left`, `\\right`, dollar signs or spacing commands.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from treestar.verifier.notation.canonical_rules import RULES
from treestar.verifier.notation.rewriting import rewritten

__all__ = ["canonical", "matching_brackets", "squeeze", "words_of"]

CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—‐‑﹣", "-"), **dict.fromkeys("×✕", "\\times "), **dict.fromkeys("·⋅∙•", "\\cdot "),
        **dict.fromkeys("≤≦⩽", "\\le "), **dict.fromkeys("≥≧⩾", "\\ge "), **dict.fromkeys("°º", "^{\\circ}"),
        **dict.fromkeys("‘’′", "'"), **dict.fromkeys("“”", '"'), **dict.fromkeys("∅⌀", "\\emptyset "),
        "÷": "\\div ", "∕": "/", "⁄": "/", "≠": "\\ne ", "≈": "\\approx ", "≡": "\\equiv ", "±": "\\pm ",
        "∓": "\\mp ", "∞": "\\infty ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ", "∖": "\\setminus ",
        "√": "\\sqrt ", "∛": "\\sqrt[3] ", "π": "\\pi ", "θ": "\\theta ", "α": "\\alpha ", "β": "\\beta ",
        "γ": "\\gamma ", "δ": "\\delta ", "λ": "\\lambda ", "μ": "\\mu ", "σ": "\\sigma ", "φ": "\\phi ",
        "ϕ": "\\phi ", "ω": "\\omega ", "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}",
        "ℚ": "\\mathbb{Q}", "ℂ": "\\mathbb{C}", "∑": "\\sum ", "∏": "\\prod ", "∫": "\\int ", "⟨": "\\langle ",
        "⟩": "\\rangle ", "∠": "\\angle ", "△": "\\triangle ", "…": "\\ldots ", "∣": "|", "∧": "\\land ", "∨": " or ",
    }
)  # fmt: skip


@lru_cache(maxsize=512)
def canonical(text: str) -> str:
    """`text` (math without dollar signs) in the dialect that the rest of the grader reads."""
    text = with_closed_braces(FULL_STOP.sub("", re.sub(r"\s+", " ", plain_characters(text))))
    if "matrix}" not in text and "array}" not in text and "cases}" not in text:
        text = re.sub(r"\\\\(?=[a-zA-Z{}\[\]()])", r"\\", text)  # Backslashes that were escaped twice.
    text = brace_arguments(rewritten(text, RULES))
    if "_" in text and "^" in text:
        text = SUBSCRIPT_LAST.sub(r"\2\1", text)
    text = re.sub(r"\s+", " ", text).strip()
    return without_outer_punctuation(text)


def with_closed_braces(text: str) -> str:
    r"""`text` with the braces closed that its end leaves open, as a reading of `\boxed{\frac{1}{2}` does."""
    return text + "}" * sum(1 if brace == "{" else -1 for brace in BRACES.findall(text))


BRACES = re.compile(r"(?<!\\)[{}]")
FULL_STOP = re.compile(r"(?<=[^.\s])\s*\.\s*$")
AFTER_COMMAND = re.compile(r"(\\[a-zA-Z]+) (?=[a-zA-Z])")
NOT_BETWEEN_DIGITS = re.compile(r"(?<!\d)\s+|\s+(?!\d)")


@lru_cache(maxsize=2048)
def squeeze(text: str) -> str:
    """`text` without meaningless spaces; spaces between two digits stay."""
    return NOT_BETWEEN_DIGITS.sub("", AFTER_COMMAND.sub("\\1\0", text)).replace("\0", " ")


def words_of(text: str) -> str:
    """The letters and digits of a verbal answer in lower case, without LaTeX."""
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"[.,;:!?](?!\d)|[\s{}$\"`]+", "", text)
    return text.lower() if len(text) > 1 else text


def plain_characters(text: str) -> str:
    if text.isascii():
        return text
    # m² is a unit, m^2 may be a variable's square.
    text = re.sub(r"(?<=\d)\s?([kcmd]?m)([²³])", r" \\text{\1}\2", text)
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ⁽⁾]+", r"^{\g<0>}", text)
    text = re.sub("[₀₁₂₃₄₅₆₇₈₉₊₋ₙ₍₎]+", r"_{\g<0>}", text)
    text = re.sub("[¼½¾⅐-⅞]", vulgar_fraction, text)
    # NFKC makes plain digits of the raised and lowered ones.
    return unicodedata.normalize("NFKC", text.translate(CHARACTERS)).translate(CHARACTERS).replace("\u200b", "")


def vulgar_fraction(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"


def without_outer_punctuation(text: str) -> str:
    stripped = text.strip(" ,;\n\t")
    while stripped.endswith((".", ":", "\\")) and not stripped.endswith("..."):
        stripped = stripped[:-1].rstrip(" ,;")
    return stripped.lstrip(": ")


def matching_brackets(text: str) -> dict[int, int]:
    """Position of the closing bracket for each matched opening bracket. Round and square brackets may match each other,
    as in half-open intervals.

    Escaped braces are a separate kind of bracket; positions are those of the bracket characters.
    """
    closing: dict[int, int] = {}
    stack: list[tuple[str, int]] = []
    kinds = {")": "(", "]": "(", "}": "{", "\\}": "\\{", "\\rangle": "\\langle"}
    for match in re.finditer(r"\\[a-zA-Z]+|\\.|[()\[\]{}]", text, re.DOTALL):
        token = match[0]
        if token in ("(", "[", "{", "\\{", "\\langle"):
            stack.append(("(" if token == "[" else token, match.start()))
        elif token in kinds and any(kind == kinds[token] for kind, _ in stack[-20:]):
            # An unmatched opening bracket inside must not hide the pair around it.
            while stack[-1][0] != kinds[token]:
                stack.pop()
            closing[stack.pop()[1]] = match.start()
    return closing


SUBSCRIPT_LAST = re.compile(r"(\^\{(?:[^{}]|\{[^{}]*\})*\})(_\{(?:[^{}]|\{[^{}]*\})*\})")
ARGUMENT_COUNT = {"\\frac": 2, "\\binom": 2, "\\sqrt": 1, "^": 1, "_": 1}


def brace_arguments(text: str) -> str:
    r"""Put braces around the arguments of `\frac12`, `\sqrt3`, `\sqrt(x)`, `x^10`, `x^(1/2)`, `x_1`."""
    closing = matching_brackets(text)
    insert: dict[int, str] = {}
    replace: dict[int, str] = {}
    for match in re.finditer(r"\\(?:frac|binom|sqrt)(?![a-zA-Z])|[\^_]", text):
        position = match.end()
        command = match[0]
        for _ in range(ARGUMENT_COUNT[command]):
            position = skip_optional(text, position, closing, command)
            start, end, braced = argument(text, position, closing, command)
            if start == end:
                break
            if not braced:
                if text[start] == "(" and text[end - 1] == ")" and command != "\\frac":
                    replace[start], replace[end - 1] = "{", "}"
                else:
                    insert[start] = insert.get(start, "") + "{"
                    insert[end] = "}" + insert.get(end, "")
            position = end
    pieces = [insert.get(i, "") + replace.get(i, character) for i, character in enumerate(text)]
    return "".join(pieces) + insert.get(len(text), "")


def skip_optional(text: str, position: int, closing: dict[int, int], command: str) -> int:
    while position < len(text) and text[position] == " ":
        position += 1
    if command == "\\sqrt" and position < len(text) and text[position] == "[" and position in closing:
        return skip_optional(text, closing[position] + 1, closing, "")
    return position


def argument(text: str, start: int, closing: dict[int, int], command: str) -> tuple[int, int, bool]:
    """Start and end of the argument that begins at `start`, and whether it already has braces."""
    if start >= len(text):
        return start, start, False
    if text[start] == "{":
        return start, closing.get(start, start - 1) + 1, True
    if text[start] == "(" and start in closing and command in ("\\sqrt", "^"):
        return start, closing[start] + 1, False
    run = re.compile(r"-?\d+(?:\.\d+)?" if command == "^" else r"\d+").match(text, start)
    if run is not None and command in ("^", "\\sqrt", "_"):
        lone_base = command == "_" and text[max(0, start - 6) : start].rstrip("_ ").endswith("log")
        bare_end = run.end() >= len(text) or text[run.end()] not in "({ \\xyabtn"
        return start, start + 1 if lone_base and bare_end and run[0] != "10" else run.end(), False
    name = re.compile(r"-?\\[a-zA-Z]+|-[a-zA-Z]").match(text, start)
    if name is None:
        return start, start + 1, False
    end = name.end()
    groups = {"\\frac": 2, "\\sqrt": 1, "\\text": 1}.get(name[0].lstrip("-"), 0)
    for _ in range(groups):
        end = skip_optional(text, end, closing, name[0])
        if end < len(text) and text[end] == "{" and end in closing:
            end = closing[end] + 1
    return start, end, False
