r"""Finds formulas without delimiters in prose: `so the value is 2*sqrt(3)`, `hence it equals \frac{3}{8}.`

A run of mathematical tokens is taken whole, never only its last number: that would make `pi/4` a 4.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from treestar.verifier.extraction.phrases import OTHER_SCRIPT

__all__ = ["LABEL", "SAYS_SOMETHING", "Run", "computes", "math_runs", "value_of"]

LONGEST_TAIL = 6000
"""In characters: only the end of a longer text is read for formulas, because the answer is there."""
MOST_CUTS = 30
"""Brackets without a partner and signs that are cut off the ends of a formula; one with more is none."""
TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<begin>\\begin\{[a-zA-Z*]+\})
    |(?P<end>\\end\{[a-zA-Z*]+\})
    |(?P<command>\\[a-zA-Z]+|(?<!\w)[A-Za-z]'+(?=\())
    |(?P<money>\\?[$€£¥₹])
    |(?P<escape>\\.)
    |(?P<number>
        \d{1,3}(?:\.\d{3})+,\d{1,2}(?![\d,])
        |(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d{1,3}(?:\ \d{3})+(?![\d,/])|\d+,\d+(?![\d,])|\d+)(?:\.\d+)?
        (?:[eE][-+]?\d+(?![\w.]))?
        |\.\d+)
    |(?P<ordinal>(?<=\d)(?:st|nd|rd|th)(?![A-Za-z]))
    |(?P<word>Interval\.[LR]?open|π(?=[A-Za-z](?![^\W\d_⁰-₎²³¹]))|[\u3040-\u9fff]+|[^\W\d_\u3040-\u9fff¼-¾⅐-⅞⁰-₎²³¹]+)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<punctuation>[.,;?"“”])
    |(?P<operator>\*\*|[<>]=|[-+*/^=<>≤≥≠±×÷·−_!%°:|'√∞¼-¾⅐-⅞⁰-₎²³¹∪∩∈])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
NAMES = frozenset(
    [
        "sqrt", "cbrt", "abs", "floor", "ceil", "ceiling", "gcd", "lcm", "lim", "max", "min", "log", "ln", "exp", "mod",
        "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan",
        "sinh", "cosh", "tanh", "binom", "factorial", "Interval", "Union", "Rational", "Fraction", "Matrix",
        "Interval.open", "Interval.Lopen", "Interval.Ropen", "FiniteSet",
        "pi", "theta", "alpha", "beta", "gamma", "delta", "lambda", "sigma", "omega", "oo", "inf", "infinity",
    ]
)  # fmt: skip
CONSTANTS = frozenset(["pi", "e", "i", "oo", "inf", "infinity", "π", "E", "I"])
UNIT = re.compile(r"(?:[kcmd]?m|[km]?g|[km]?l|s|h|hr|min|mph|ft|in|cm|mm|km|kg|lb|oz|pm|am|AM|PM|p\.m|a\.m)[²³]?")
SPACED_UNIT = re.compile(rf"(?<=\d)\s+{UNIT.pattern}(?![A-Za-z])(?:\^\d)?")
LETTER_UNIT = re.compile(r"(?<=\d)\s+([mslhg])(?=(?:\^\d|[²³])?$)")
"""A unit that would be a variable in a formula."""
MULTIPLIERS = frozenset(["hundred", "thousand", "million", "billion", "trillion", "dozen"])
RELATION = re.compile(r"(?<![<>!:=])=(?!=)")
LABEL = re.compile(r"\s*(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?'*(?:\([A-Za-z0-9, ]*\))?|\|[A-Z]{1,3}\|)\s*")
LETTERS = re.compile(r"(?<![A-Za-z\\])(?!(?:pi|sqrt|e|i|log|ln|sin|cos|tan|exp)(?![A-Za-z]))[A-Za-z]+")
DEGREES = re.compile(r"(?<=°)\s?[CFK](?![A-Za-z])")
TIMES = re.compile(r"(?<=\d)\s?[xX]\s?(?=\d)")
LEADING = re.compile(r"\s*(?:[=:*/^_!%)\]}>≤≥≠×÷·&,;]|\.(?!\d)|<=|>=|<)+\s*")
RELATION_COMMAND = re.compile(r"\\(?:[lg]eq?(?:slant)?|neq?|[lg]t|in|equiv|approx|to)(?![a-zA-Z])")
TRAILING_SIGNS = "-+*/^=<>≤≥≠±×÷·−_:&([{√,;."
TRAILING_COMMANDS = ("\\times", "\\cdot", "\\div", "\\pm", "\\le", "\\ge", "\\frac", "\\sqrt")
RAISED = re.compile(r"[⁰-₎²³¹]")
SAYS_SOMETHING = re.compile(
    rf"\d|(?<=[A-Za-z)]){RAISED.pattern}|\\(?:frac|sqrt|pi|infty|emptyset|varnothing|mathbb|binom)|[π∞¼-¾⅐-⅞√]"
)


class Run(NamedTuple):
    """A formula and its place in the text."""

    start: int
    end: int
    text: str


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


NOTHING = Token("", "", 0, 0)
"""What stands before the first token and after the last."""


def math_runs(text: str) -> list[Run]:
    """The formulas in the last part of a text whose delimited formulas have been blanked out, in order."""
    first = max(0, len(text) - LONGEST_TAIL)
    tokens = [
        Token(match.lastgroup or "", match[0], match.start(), match.end()) for match in TOKEN.finditer(text, first)
    ]
    runs: list[Run] = []
    start = end = -1
    depth = 0
    """Open brackets in the run so far; within them, commas and texts are part of the formula."""
    groups = 0
    """Open braces of a LaTeX command's argument, where everything is part of the formula."""
    previous = NOTHING

    def finish() -> None:
        nonlocal start, depth, groups
        if start >= 0:
            runs.extend(trimmed(text, start, end))
        start, depth, groups = -1, 0, 0

    for place, token in enumerate(tokens):
        if token.kind == "space":
            if "\n" in token.text and not depth and not groups:
                finish()
            continue
        if not is_math(token, tokens, place, depth, groups):
            finish()
            continue
        after_gap = start >= 0 and token_at(tokens, place - 1).kind == "space" and depth == 0 and groups == 0
        if after_gap and not continues(previous, token, tokens, place):
            finish()
        if start < 0:
            start = token.start
        end = token.end
        if token.kind in ("begin", "end"):
            groups += 1 if token.kind == "begin" else -1 if groups else 0
        elif token.kind == "open":
            after_command = token.text == "{" and (groups or is_argument(tokens, place))
            groups += bool(after_command)
            depth += not after_command
        elif token.kind == "close":
            if token.text == "}" and groups:
                groups -= 1
            elif depth:
                depth -= 1
        previous = token
    finish()
    return runs


def token_at(tokens: list[Token], place: int) -> Token:
    return tokens[place] if 0 <= place < len(tokens) else NOTHING


def is_argument(tokens: list[Token], place: int) -> bool:
    """Whether the brace at `place` opens the argument of a command or of an exponent."""
    before = token_at(tokens, place - 1)
    return before.kind in ("command", "begin") or before.text in ("^", "_", "}", "]")


def is_math(token: Token, tokens: list[Token], place: int, depth: int, groups: int) -> bool:
    """Whether a token can be part of a formula."""
    kind, written = token.kind, token.text
    if groups:
        return True
    if kind == "command":
        return written not in ("\\item", "\\text", "\\textbf", "\\mathrm") or depth > 0 or place + 1 < len(tokens)
    if kind == "word":
        return is_math_word(token, tokens, place)
    if kind == "punctuation":
        return depth > 0 and written in ",;"
    if RAISED.fullmatch(written) and token_at(tokens, place - 1).kind == "word":
        return is_math(tokens[place - 1], tokens, place - 1, depth, groups)
    if kind == "operator" and written in ":|'":
        return depth > 0 or is_tight(tokens, place) or written == "|"
    return kind in ("number", "operator", "open", "close", "money", "escape", "begin", "end")


def is_math_word(token: Token, tokens: list[Token], place: int) -> bool:
    word = token.text
    if OTHER_SCRIPT.search(word):
        return False
    if word in NAMES or word in CONSTANTS:
        return not (word in ("e", "i", "I", "E", "in", "min") and not beside_operator(tokens, place))
    after_number = token_at(tokens, place - 1).kind == "number"
    if word in MULTIPLIERS:
        return after_number or after_number_and_space(tokens, place)
    if UNIT.fullmatch(word) and (after_number or is_spaced_unit(tokens, place)):
        return True
    if len(word) == 1:
        return beside_operator(tokens, place) or (after_number and word.isascii())
    touches_number = after_number or token_at(tokens, place + 1).kind == "number"
    named = len(word) <= 3 and word.isascii() and not word.islower() and not touches_number
    return named and beside_operator(tokens, place)


def after_number_and_space(tokens: list[Token], place: int) -> bool:
    return token_at(tokens, place - 1).kind == "space" and token_at(tokens, place - 2).kind == "number"


def is_spaced_unit(tokens: list[Token], place: int) -> bool:
    """Whether a name of a unit is one: after a number and a space, or in `km/h`. `5 in total` has no inches."""
    if token_at(tokens, place - 1).text == "/" and token_at(tokens, place - 2).kind == "word":
        return True
    followed = place + 2 < len(tokens) and tokens[place + 1].kind == "space"
    return after_number_and_space(tokens, place) and not (tokens[place].text == "in" and followed)


def beside_operator(tokens: list[Token], place: int) -> bool:
    """Whether an operator or a bracket stands next to a token, or another formula token without a space."""
    for step in (-1, 1):
        neighbor = token_at(tokens, place + step)
        if neighbor.kind == "space":
            neighbor = token_at(tokens, place + 2 * step)
            if neighbor.text not in ":|'!" and is_operator(neighbor):
                return True
        elif neighbor.kind in ("operator", "open", "close", "number", "command") and neighbor.text not in ":'":
            return True
    return False


def is_operator(token: Token) -> bool:
    return token.kind == "operator" or RELATION_COMMAND.fullmatch(token.text) is not None


def is_tight(tokens: list[Token], place: int) -> bool:
    """Whether a number or a closing bracket touches both sides of a token, as in `3:4`."""
    return all(token_at(tokens, at).kind in ("number", "word", "close", "open") for at in (place - 1, place + 1))


def continues(previous: Token, token: Token, tokens: list[Token], place: int) -> bool:
    """Whether a token after a space belongs to the formula before the space."""
    if previous.kind == "operator" and previous.text not in "!%°'|":
        return True
    if token.kind == "operator" and token.text not in "'|":
        return token.text not in "-−+" or not sign_of_next(tokens, place)
    if previous.kind == "number" and token.kind == "number":
        # A mixed number: 3 1/2.
        return token_at(tokens, place + 1).text == "/" and token_at(tokens, place + 2).kind == "number"
    if token.kind in ("command", "close") or previous.kind in ("command", "open", "money"):
        return True
    if previous.kind == "number" and token.text in MULTIPLIERS:
        return True
    if previous.kind in ("number", "word", "close") and token.kind == "word":
        return len(token.text) == 1 or token.text in NAMES or UNIT.fullmatch(token.text) is not None
    return previous.kind == "word" and previous.text in NAMES


def sign_of_next(tokens: list[Token], place: int) -> bool:
    """Whether a minus after a space is the sign of a number that it touches: `x is 5 -3`."""
    return place + 1 < len(tokens) and tokens[place + 1].kind != "space" and tokens[place - 1].kind == "space"


def trimmed(text: str, start: int, end: int) -> list[Run]:
    """The formula between two positions without what does not belong to it; nothing if it says nothing."""
    if text[start] in "^_" and start and (text[start - 1].isalnum() or text[start - 1] == "$"):
        start = text.find("=", start, end)  # The exponent of a word: `5 units^2`.
        if start < 0:
            return []
    for _ in range(MOST_CUTS):
        written = text[start:end]
        lead, bare = LEADING.match(written), without_open_end(written)
        if lead is not None and lead.end():
            start += lead.end()
        elif bare != written and not written.endswith(("\\}", "\\%", "\\$")):
            end = start + len(bare)
        else:
            unmatched = unmatched_bracket(written)
            if unmatched is None:
                break
            if unmatched < len(written) - unmatched:
                start += unmatched + 1
            else:
                end = start + unmatched
        if start >= end:
            return []
    else:
        return []
    written = text[start:end].strip()
    start += len(text[start:end]) - len(text[start:end].lstrip())
    if not SAYS_SOMETHING.search(written) and written not in CONSTANTS - {"e", "i", "E", "I"}:
        return []
    if touches_word(text, start, start + len(written)):
        return []
    return [Run(start, start + len(written), LETTER_UNIT.sub(r"\\text{ \1}", value_of(written)))]


def without_open_end(written: str) -> str:
    """`written` without the operators and opening brackets that it ends with."""
    rest = written.rstrip()
    bare = rest.rstrip(TRAILING_SIGNS)
    while bare.endswith(TRAILING_COMMANDS):
        bare = bare[: bare.rindex("\\")].rstrip(TRAILING_SIGNS)
    return written if bare == rest else bare.rstrip()


def touches_word(text: str, start: int, end: int) -> bool:
    """Whether letters or digits without a space stand beside the formula, as in `AZ2K5B`, not in `US$30`."""
    before, after = "" if text[start] in "\\$€£¥₹" else text[start - 1 : start], text[end : end + 1]
    return (before.isascii() and (before.isalnum() or before == "_")) or (after.isascii() and after.isalnum())


def unmatched_bracket(written: str) -> int | None:
    """The position of a bracket without a partner; round and square brackets may pair, as in `[2,5)`."""
    stack: list[int] = []
    for position, character in enumerate(written):
        if character in "([{":
            stack.append(position)
        elif character in ")]}":
            if not stack:
                return position
            stack.pop()
    return stack[0] if stack else None


def value_of(written: str) -> str:
    """The value in `x = 5` and in `2 + 3 = 5`; an equation such as `2x + 3y = 6` stays whole."""
    parts = RELATION.split(written)
    if len(parts) > 1 and parts[0].strip() and parts[-1].strip():
        first, last = parts[0], parts[-1]
        if LABEL.fullmatch(last) and not LABEL.fullmatch(first):
            return first.strip()
        if LABEL.fullmatch(first) or is_arithmetic(first):
            return last.strip()
    return written


def is_arithmetic(written: str) -> bool:
    """Whether a formula has no letters but those of units, and an x between two numbers, which multiplies them."""
    return LETTERS.search(SPACED_UNIT.sub("", DEGREES.sub("", TIMES.sub("*", written)))) is None


def computes(written: str) -> bool:
    """Whether a formula is a calculation with its result: `15 + 7 = 22`, not `x = 5`."""
    first, equals, _ = written.partition("=")
    return bool(equals) and any(character.isdigit() for character in first) and is_arithmetic(first)
