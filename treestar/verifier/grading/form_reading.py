"""Parses an answer in canonical LaTeX to its form, down to the scalars, which stay LaTeX.

The readers are tried in the order of `READERS`; whatever none of them reads is a scalar or words.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from treestar.verifier.grading.forms import (
    Based,
    Clock,
    Form,
    Group,
    Listing,
    Ratio,
    Relation,
    Scalar,
    SetOperation,
    Table,
    Words,
)
from treestar.verifier.notation.canonical import matching_brackets, words_of
from treestar.verifier.notation.labels import is_label
from treestar.verifier.notation.spoken_forms import NUMBERS, SPOKEN_ANSWERS
from treestar.verifier.notation.units import read_compound, read_unit

__all__ = ["TRIGONOMETRY", "read_form"]

LONGEST_SPOKEN = 60
"""In characters; longer texts are not a set in words such as "all real numbers"."""
MOST_PARTS = 200
"""Maximum elements of a list; longer lists are compared only as words."""
RELATION = re.compile(r"\\(?:le|ge|ne|in|approx|equiv|sim|to|Rightarrow|implies|subseteq|subset)(?![a-zA-Z])|[=<>]")
READABLE = {"=", "<", ">", "\\le", "\\ge", "\\ne", "\\in"}
LOGICAL_AND = re.compile(r"\\(?:land|wedge)(?![a-zA-Z])")
SET_OPERATION = re.compile(r"\\(?:cup|cap|setminus|backslash)(?![a-zA-Z])")
THOUSANDS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
DECIMAL_COMMA = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")
COMMA, SEMICOLON, COLON = re.compile(","), re.compile(";"), re.compile(":")
TIGHT_COMMA = re.compile(r",(?! )")
TABLE = re.compile(r"\\begin\{[pbBvV]?matrix\}(?P<body>(?:(?!\\begin).)*)\\end\{(?P<kind>[pbBvV]?matrix)\}", re.DOTALL)
CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*(?:\\text\{\s*)?([aApP]\.?\s?[mM]\.?)?\s*\}?")
BASED = re.compile(r"\(?([0-9A-F]+)\)?_\{\s*(?:\\text\{)?\s*(\d{1,2}|[a-z]+)\s*\}?\s*\}")
WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}|(?<![\\A-Za-z])(?:is|if|are|the|not|for|all|has|no)(?![A-Za-z])")
TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
DATE = re.compile(r"\d{4}([-/])\d{1,2}\1\d{1,2}|\d{1,2}([-/])\d{1,2}\2\d{4}")
"""Not a difference or a quotient of three numbers."""
BUILDER = re.compile(
    r"\\?\{\s*[a-zA-Z]\s*(?:\\in\s*\\mathbb\{R\}\s*)?(?:\||:|\\colon)\s*(?P<condition>[^|].*?)\s*\\?\}", re.DOTALL
)
"""A set of the numbers that satisfy a condition."""
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]+\}")
UPRIGHT = re.compile(r"\\text\{([^{}]*)\}")


@lru_cache(maxsize=512)
def read_form(text: str) -> Form:
    """The form of an answer in canonical LaTeX. Unknown forms are returned as `Words`."""
    text = unwrapped(text.strip())
    spoken = SPOKEN_ANSWERS.get(words_of(text)) if len(text) < LONGEST_SPOKEN else None
    if spoken is not None and spoken != text:
        return read_form(spoken)
    for reader in READERS:
        form = reader(text)
        if form is not None:
            return form
    return read_scalar(text)


def unwrapped(text: str) -> str:
    """`text` without parentheses or upright type around a single item."""
    while True:
        upright = UPRIGHT.fullmatch(text)
        if upright is not None:
            text = upright[1].strip()
        elif text.startswith("(") and text.endswith(")") and is_closed_by_last(text):
            inner = text[1:-1].strip()
            if not inner or any(cut(inner, separator)[1] for separator in (COMMA, SEMICOLON)):
                return text
            text = inner
        else:
            return text


def is_closed_by_last(text: str) -> bool:
    """Whether the bracket that `text` begins with is closed by its last one."""
    return matching_brackets(text).get(0) in (len(text) - 1, len(text) - 2) and text[-1] in ")]}"


def cut(text: str, pattern: re.Pattern[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pieces of `text` between the matches of `pattern` outside all brackets, and the matches."""
    if pattern.search(text) is None:
        return (text.strip(),), ()
    closing = matching_brackets(text)
    pieces, marks, start, inside = [], [], 0, -1
    spans = iter(sorted(closing.items()))
    span = next(spans, None)
    for match in pattern.finditer(text):
        while span is not None and span[0] < match.start():
            inside = max(inside, span[1])
            span = next(spans, None)
        if match.start() < inside:
            continue
        pieces.append(text[start : match.start()].strip())
        marks.append(match[0])
        start = match.end()
    return (*pieces, text[start:].strip()), tuple(marks)


def read_table(text: str) -> Form | None:
    body = text
    if text[:1] in "([" and text[-1:] in ")]" and len(text) > 2 and is_closed_by_last(text):
        body = text[1:-1].strip()
    match = TABLE.fullmatch(body)
    if match is None or match["kind"][0] in "vV":
        return None
    rows = [row for row in re.split(r"\\\\", match["body"].replace("\\hline", "")) if row.strip()]
    return Table(tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows))


def read_clock(text: str) -> Form | None:
    match = CLOCK.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None
    hours, minutes, half = int(match[1]), int(match[2] or 0), (match[3] or "").lower()[:1]
    if hours > (24 if match[2] else 12) or minutes > 59 or (not half and len(match[1]) < 2):
        return None
    if half:
        hours = hours % 12 + (12 if half == "p" else 0)
    return Clock(hours * 60 + minutes, bool(half))


def read_based(text: str) -> Form | None:
    match = BASED.fullmatch(text)
    if match is None:
        return None
    written = NUMBERS.get(match[2], match[2])
    base = int(written) if written.isdigit() else 0
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in match[1]):
        return None
    return Based(match[1], base)


def read_amounts(text: str) -> Form | None:
    compound = read_compound(text) if text[:1].isdigit() and text[-1:] not in ")]" else None
    return None if compound is None else Scalar(*compound)


def read_listing(text: str) -> Form | None:
    number = re.match(r"[-+]?\s*[1-9]\d{0,2}(?:,\d{3})+(?!\d|,)", text)
    if number is not None and "," not in text[number.end() :]:
        return None  # One number with separators of thousands: `1,234.5 cm`.
    parts, semicolons = cut(text, SEMICOLON)
    if not semicolons:
        parts, _ = cut(without_thousands(text), COMMA)
    parts = tuple(part for part in parts if part)
    if not 2 <= len(parts) <= MOST_PARTS:
        return None
    forms = [read_form(part) for part in parts]
    if semicolons and are_tuples(forms):
        return Listing(tuple(forms))
    return Listing(tuple(solutions(flattened(forms))), decimal=with_point(text))


def without_thousands(text: str) -> str:
    """The elements of a list without separators of thousands, if its other commas have spaces: 1,000, 2,000."""
    return text if TIGHT_COMMA.search(THOUSANDS.sub("", text)) else THOUSANDS.sub(lambda m: m[0].replace(",", ""), text)


def with_point(text: str) -> str:
    """The number in `text`, which may have a label and a unit, with a point for its decimal comma; "" if it has none.

    A decimal comma is a comma between two digits without a space.
    """
    label, equals, value = text.rpartition("=")
    if text.count(",") != 1 or "=" in label or (equals and not label.strip()):
        return ""
    number, _ = read_unit(value.strip())
    return number.replace(".", "").replace(",", ".") if DECIMAL_COMMA.fullmatch(number.strip()) else ""


def are_tuples(forms: list[Form]) -> bool:
    """Whether each part of a list is itself a list of as many values: `1,2; 3,4`."""
    sizes = {len(form.items) if isinstance(form, Listing) and not form.is_set else 0 for form in forms}
    return len(sizes) == 1 and sizes.pop() > 1


def flattened(forms: list[Form]) -> list[Form]:
    """The forms, with each plus-minus pair replaced by its two values."""
    flat: list[Form] = []
    for form in forms:
        flat.extend(form.items if isinstance(form, Listing) and not form.is_set else [form])
    return flat


def solutions(forms: list[Form]) -> list[Form]:
    """The solutions of a system in a list that names its unknowns repeatedly, `x=1, y=2, x=3, y=4`; else `forms`."""
    names = [form.operands[0] if isinstance(form, Relation) and form.is_equation else "" for form in forms]
    size = names.index(names[0], 1) if names[0] in names[1:] else 0
    if size < 2 or len(forms) % size or "" in names or names != names[:size] * (len(forms) // size):
        return forms
    return [Listing(tuple(forms[start : start + size])) for start in range(0, len(forms), size)]


def read_relation(text: str) -> Form | None:
    operands, operators = cut(text, RELATION)
    if not operators:
        return None
    if "\\approx" in operators:
        place = operators.index("\\approx")
        if place or not is_label(operands[0], "1"):
            # `x = 1/3 \approx 0.33` and `1/3 \approx 0.33` state the exact value first.
            exact = operands[: place + 1]
            return read_form(exact[0] or operands[1]) if place == 0 else Relation(exact, operators[:place])
        operators = ("=", *operators[1:])
    if not all(operands):
        # `= 5` is 5, but `> 5` is not.
        return read_form(operands[-1]) if not operands[0] and set(operators) == {"="} else Words(text)
    if not set(operators) <= READABLE or (len(operators) > 1 and "\\in" in operators):
        return Words(text)
    values = plus_minus(operands[-1]) if set(operators) == {"="} and "\\pm" in operands[-1] else ()
    if values:
        return Listing(tuple(Relation((operands[0], value.latex), ("=",)) for value in values))
    return Relation(operands, operators)


def read_set_operation(text: str) -> Form | None:
    parts, operators = cut(text, SET_OPERATION)
    if not operators or not all(parts):
        return None
    names = tuple("\\setminus" if operator == "\\backslash" else operator for operator in operators)
    return SetOperation(tuple(read_form(as_set(part)) for part in parts), names)


def as_set(text: str) -> str:
    """`text` with set braces for the plain ones around it: beside a set operator they can mean nothing else."""
    plain = text.startswith("{") and text.endswith("}") and is_closed_by_last(text)
    return f"\\{{{text[1:-1]}\\}}" if plain else text


def read_conditions(text: str) -> Form | None:
    """Inequalities joined by a logical "and"."""
    parts, operators = cut(text, LOGICAL_AND)
    if not operators or not all(parts):
        return None
    forms = tuple(read_form(part) for part in parts)
    return Listing(forms, all_hold=True) if all(isinstance(form, Relation) for form in forms) else None


def read_braces(text: str) -> Form | None:
    if text == "\\emptyset":
        return Listing((), is_set=True)
    escaped = text.startswith("\\{") and text.endswith("\\}") and matching_brackets(text).get(0) == len(text) - 2
    plain_ones = text.startswith("{") and text.endswith("}") and is_closed_by_last(text)
    builder = BUILDER.fullmatch(text) if escaped or plain_ones else None
    if builder is not None:
        return read_form(builder["condition"])
    if escaped:
        inner = text[2:-2].strip()
        return Listing(tuple(flattened([read_form(inner)] if inner else [])), is_set=True)
    if plain_ones:
        plain = read_form(text[1:-1]) if text[1:-1].strip() else None
        return replace(plain, decimal="") if isinstance(plain, Listing) else plain
    return None


def read_group(text: str) -> Form | None:
    angled = re.fullmatch(r"\\langle(?![a-zA-Z])(.*)\\rangle|<([^<>=]*)>", text, re.DOTALL)
    if angled is not None and "," in text:
        inner, opening, closing = angled[1] or angled[2], "(", ")"
    elif text[:1] in ("(", "[") and text[-1:] in (")", "]") and is_closed_by_last(text):
        inner, opening, closing = text[1:-1], text[0], text[-1]
    else:
        return None
    if ", " in inner:  # (2,300) is a point
        inner = without_thousands(inner)
    parts, semicolons = cut(inner, SEMICOLON)
    if not semicolons:
        parts, _ = cut(inner, COMMA)
    if not all(parts) or len(parts) > MOST_PARTS:
        return None
    if len(parts) == 1:
        return read_form(parts[0]) if opening == "[" and closing == "]" else None
    return Group(opening, closing, tuple(read_item(part) for part in parts))


def read_item(text: str) -> Form:
    form = read_form(text)
    return Scalar(text) if isinstance(form, Listing) and not form.is_set else form


def read_plus_minus(text: str) -> Form | None:
    values = plus_minus(text) if "\\pm" in text or "\\mp" in text else ()
    return Listing(values) if values else None


def plus_minus(text: str) -> tuple[Scalar, ...]:
    """The two values of an expression with a sign that is both plus and minus; none if these are not both scalars."""
    upper = text.replace("\\pm", "+").replace("\\mp", "-")
    lower = text.replace("\\pm", "-").replace("\\mp", "+")
    forms = [read_scalar(side.strip().lstrip("+ ")) for side in (upper, lower)]
    values = tuple(form for form in forms if isinstance(form, Scalar))
    return values if len(values) == 2 else ()


def read_ratio(text: str) -> Form | None:
    text = re.sub(r"(?<=\d)\s*\\?t?e?x?t?\{?\s+to\s+\}?\s*(?=\d)", ":", text)
    parts, _ = cut(text.replace("\\colon", ":"), COLON)
    if len(parts) < 2 or not all(parts) or any(WORD.search(part) for part in parts):
        return None
    return Ratio(parts)


def read_scalar(text: str) -> Form:
    percent = degrees = False
    if re.fullmatch(r"[A-Za-z]{3,}", text) or DATE.fullmatch(text):
        return Words(text)
    if text.endswith("\\%"):
        text, percent = text[:-2].strip(), True
    elif text.endswith("^{\\circ}") and not TRIGONOMETRY.search(text):
        text, degrees = text[: -len("^{\\circ}")].strip(), True
    text, unit = read_unit(text)
    if not unit and re.fullmatch(r"-?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", text):
        text = text.replace(",", "")
    elif unit:
        text = re.sub(r"(?<=\d),(?=\d{3})", "", text).removesuffix("^{\\circ}").strip()
    if (
        not text
        or WORD.search(ENVIRONMENT.sub("", text))
        or any(len(word.strip()) > 1 for word in UPRIGHT.findall(text))
    ):
        return Words(text)
    return Scalar(unwrapped(text), unit, percent, degrees)


READERS = (
    read_conditions,
    read_table,
    read_clock,
    read_based,
    read_braces,
    read_group,
    read_amounts,
    read_listing,
    read_relation,
    read_set_operation,
    read_plus_minus,
    read_ratio,
)
