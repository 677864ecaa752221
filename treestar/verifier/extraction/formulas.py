"""Finds the formulas in a text, and those among them that are its answer: the last ones, or the ones it begins with."""

from __future__ import annotations

import re

from treestar.verifier.extraction.asked import NOTHING_ASKED, Asked, is_given
from treestar.verifier.extraction.bare_math import LABEL, SAYS_SOMETHING, Run, computes, math_runs
from treestar.verifier.extraction.chains import chain_value, equation_value, is_equation
from treestar.verifier.extraction.delimiters import MATH, formula_of
from treestar.verifier.extraction.phrases import last_match
from treestar.verifier.extraction.remarks import last_sentence_start
from treestar.verifier.extraction.wording import SO, any_of, worded
from treestar.verifier.notation.plain_numbers import plain_numbers_equal, read_plain_number
from treestar.verifier.notation.units import read_compound

__all__ = ["CONCLUDES", "last_formula", "leading_formula", "without_restatement"]

LONGEST_SEPARATOR = 12
"""In characters, between two parts of a list."""
LONGEST_GAP = 40
"""In characters, between an answer and its rounding."""
LONGEST_LEAD = 60
"""In characters, of the words right before a formula that say what it is."""

MONEY = r"\\?[$€£¥]?"
BETWEEN_PARTS = re.compile(r"[\s,;]*(?:(?:and|or|y|et|und|и|和|と|或)[\s,;]*)?")
AMOUNT = r"\d{1,9}(?:\.\d{1,9})?\s?[A-Za-z]{1,12}"
AMOUNTS = re.compile(rf"(?<![\d.,]){AMOUNT}(?:,?\s(?:and\s)?{AMOUNT}){{1,2}}(?![A-Za-z\d])")
"""What may be one amount in two or three units: `2 hours and 30 minutes`."""
AMOUNT_ONLY = re.compile(r"\\?[$€£]?\s?[-−]?[\d.,/:½¼¾]+\s?(?:\\?%|[^\W\d_]{1,9}(?:/[a-z]+)?)?")
"""A number, perhaps with a unit."""
DECORATION = re.compile(r"_(?:\{[^{}]*\}|\w)|\^\s*(?:\w|\{\w\})")
VALUE = re.compile(
    rf"{SAYS_SOMETHING.pattern}|\\(?:text|textbf|mathrm|mbox)\{{|[=<>≤≥≠]|\\(?:[lg]eq?|neq?|in|to|equiv)(?![a-zA-Z])"
)
"""What a formula has that is more than a name."""

# Values that restate others.
ABOUT = r"(?:about|approximately|approx\.?|roughly|around|≈)"
ROUNDED = re.compile(rf"(?P<unit>(?:\s[a-z]+){{0,2}})\s*,?\s*(?:or\s+|which\s+is\s+|\()\s*{ABOUT}\s*")
"""Between an exact answer and its rounding."""
ROUNDING_SIGN = re.compile(r"\s*(?:≈|\\approx)\s*")
IN_PERCENT = re.compile(r"(?:%|percent\b)[\s.$)]*$")
RESULT = re.compile(
    any_of("=", r"\b(?:equals?|which (?:is|equals|gives|makes)|or simply|that is|so)", r"\bi\.e\.") + r"\s*$"
)
"""Before the value of what precedes it."""
ANOTHER_PART = re.compile(
    any_of(r"[,;&]", r"\b(?:and|or|plus|as well as|together with|along with)\b") + rf"\s+(?:\w+\s+)?{MONEY}[-−]?[\d\\]"
)
NO_TIE = r"(?!to \d+ (?:decimal|significant|places|digits)|(?:for|after|on|at|during|within|before)\b)"
TIED = re.compile(
    any_of(
        rf"\s*(?:{NO_TIE}[^\W\d]+\.?|(?:divided|multiplied) by|out of|for every|(?:more|less|fewer|greater) than"
        r"|with (?:a )?remainder(?: of)?|[-–—:/])\s*"
    )
    + rf"{MONEY}[\d\\]"
)
"""After a number that says little without the next one: `1 in 6`, `5 to 7`, `3 red 4 blue`, `1 out of 6`."""

# Numbers that a sentence is about.
COUNTED = worded(
    r"(?:(?<!since\s)(?<!because\s)(?<!if\s)(?<!as\s)(?<!where\s)(?<!when\s)\bthere (?:is|are|were|will be|must be"
    r"|remain) (?:(?:therefore|thus|then|only|exactly|just|indeed|also|in total),? )*"  # there are exactly 5
    r"|\b(?:a|the) (?:grand )?total of )$"  # a total of 5
)
"""Before a number that a sentence counts."""
BEGINS_CLAUSE = worded(rf"(?:^|[,;:]|\b(?:{SO}|then|that|and)\b,?)\s*$")
IS_SOUGHT = re.compile(
    any_of(
        r" (?:(?:is|are) (?:(?:therefore|thus|indeed|also) )?(?:the(?! same)(?= [a-z])|our)"  # 5 is the largest
        r"|(?:[a-z-]+ ){0,3}(?:is|are) (?:needed|required|necessary))\b"  # 5 workers are needed
    )
)
"""After a number that a clause begins with."""
CONCLUDES = worded(
    rf"\b(?:{SO}|final|giving|gives?|meaning|leaving|leaves?|makes?|making|then|which (?:is|equals|means))\b|="
    r"|\b(?:and|but) (?:he|she|it|they|we|each|every|one|the)\b"  # and she has
    r"|(?:[,;]|\b(?:and|plus)) (?:x|\d[\d.,]*) (?!for\b|in\b|on\b|of\b)[a-z]{2}"  # and 5 pears
)
"""After a number, where delimited formulas are an x: the sentence goes on to say more than it."""
SAID = worded(
    r"(?:\b(?:is|are|be|was|were|equals?|becomes?|gives?|gets?|have|has|obtain|find|yields?|by|simply|just)"
    r"|\b(?:equals?|simplif\w+|reduc\w+|comes?) to|[:=])\s*$"
)
"""Before the value of what a sentence is about."""
EQUATION = worded(r"\b(?:equations?|lines?|planes?|curves?|circles?|relation|constraint|condition|satisf\w+)\b")

# Numbers that only say when, where, with what or for what something holds.
PREPOSITION = any_of(
    r"in|for|at|from|on|with|over|after|before|within|during|per|every|across|among|(?<=s\s)of|using",
    "en|por|para|con|durante|em|dans|pour|avec|pendant|für|mit|bei|nach|за|в|при",
)
SAYS_MORE = (
    r"(?!(?:about|around|nearly|exactly|only|just|most|least|which|that|we|it|he|she|they|is|are|was|be|have|has|get"
    r"|equal)\b)"
)
CIRCUMSTANCE = worded(
    rf"\b(?:(?:{PREPOSITION}|to (?!the|a|an|this){SAYS_MORE}[a-z]+|would [a-z]+) "  # in the next 5, to cover 5
    rf"(?:{SAYS_MORE}[^\W\d_]+ ){{0,3}}|than |half of )\\?[$€£]?$"  # than 5
    r"|^\s*of (?:(?:the|his|her|all|these) ){0,2}$|, (?:who|while|whereas) (?:[^\W\d_]+ ){0,3}$"  # , who has 5
)
"""Before such a number."""
OFFSET = re.compile(any_of(r" (?:minutes?|hours?|days?|weeks?|months?|years?) (?:after|before|later|earlier)\b"))
"""After a number that says how far another time is."""
TOTAL = re.compile(any_of(r" (?:[^\W\d_]+ )?(?:left|remain\w*|extra|altogether|in total)\b"))
"""After a number that is said to be what is left or the total."""
OTHER_KIND = re.compile(r"\\\$|[€£%]")
ATTRIBUTE = re.compile(r"-[a-z]{3,}")
"""After the number of an adjective: `24-hour`."""


def formulas_in(text: str) -> list[Run]:
    """The formulas of `text` in order, with or without delimiters."""
    spans = [Run(match.start(), match.end(), formula_of(match).strip()) for match in MATH.finditer(text)]
    masked = MATH.sub(lambda match: "\n" * len(match[0]), text)
    spans += math_runs(masked)
    return sorted(span for span in spans if not is_power_of_unit(text, span))


def is_power_of_unit(text: str, span: Run) -> bool:
    """Whether a formula is only the exponent of the word before it: `cm$^2$`."""
    return span.text.startswith("^") and span.start > 0 and text[span.start - 1].isalpha()


def last_formula(text: str, asked: Asked = NOTHING_ASKED) -> str | None:
    """The last formula, number or amount in two units, with those right before it that belong to the same list.

    In its last sentence, a number that the sentence counts, or says to be sought, comes before the later ones, and a
    value before the names after it: `7` of "there are 7 values of $n$ below 20". What the question gives, or what comes
    after a calculation, only in a circumstance, is left out: `60` of "60 * 5 = 300 miles in 5 days".
    """
    spans = formulas_in(text)
    if not spans:
        return None
    amount = compound_amount(text)
    if amount is not None:
        return amount
    start = last_sentence_start(text)
    sought = sought_formula(text, start, spans)
    if sought is not None:
        return sought
    spans = without_names(text, start, without_attributes(text, start, spans))
    spans = without_circumstances(text, start, spans, asked)
    counted = counted_formula(text, start, spans, asked)
    if counted is not None:
        return counted.text
    gap = text[spans[-2].end : spans[-1].start][: LONGEST_GAP + 1] if len(spans) > 1 else ""
    rounded = ROUNDED.fullmatch(gap) if len(gap) <= LONGEST_GAP else None
    if rounded is not None and text.startswith(rounded["unit"], spans[-1].end):
        spans.pop()
    elif len(gap) <= LONGEST_GAP and ROUNDING_SIGN.fullmatch(gap):
        return f"{spans[-2].text} \\approx {spans[-1].text}"
    elif len(spans) > 1 and is_restated(text, spans[-2], spans[-1]):
        spans.pop()
    return value_in(text, start, lists_of(text, spans)[-1])


def lists_of(text: str, spans: list[Run]) -> list[list[Run]]:
    """`spans` in order, those that are parts of the same list together."""
    lists = [spans[:1]]
    for span in spans[1:]:
        if are_listed(text, lists[-1][-1], span):
            lists[-1].append(span)
        else:
            lists.append([span])
    return lists


def value_in(text: str, start: int, parts: list[Run]) -> str:
    """What the parts of a list say together, or the last of them if it follows from the others: `-1` of
    "$a = 1$ and $b = -2$, and $a + b = -1$", `4` of "2x = 8, x = 4"."""
    last = parts[-1]
    if is_equation(text[last.start : last.end]):
        solved = [at for at, part in enumerate(parts[:-1], 1) if is_equation(part.text) and not is_named(part)]
        parts = parts[solved[-1] if solved else 0 :]
    if len(parts) > 1 and (not is_equation(last.text) or all(map(is_named, parts))):
        return ", ".join(part.text for part in parts)
    said = SAID.search(text, start, last.start) is not None and EQUATION.search(text, start, last.start) is None
    return equation_value(chain_value(last.text), said)


def is_named(part: Run) -> bool:
    return LABEL.fullmatch(part.text.partition("=")[0]) is not None


def sought_formula(text: str, start: int, spans: list[Run]) -> str | None:
    """The formulas that the sentence from `start` on counts or says to be sought; None if it does neither."""
    for place in range(len(spans) - 1, -1, -1):
        span = spans[place]
        if span.start < start:
            return None
        before = text[max(start, span.start - LONGEST_LEAD) : span.start]
        counted = COUNTED.search(before) is not None
        if not counted and not (BEGINS_CLAUSE.search(before) and IS_SOUGHT.match(text, span.end)):
            continue
        parts = lists_of(text, spans[place:])[0]
        rest = MATH.sub("x", text[parts[-1].end :])
        if not says_value(span) or CONCLUDES.search(rest):
            return None
        return value_in(text, start, parts)
    return None


def without_names(text: str, start: int, spans: list[Run]) -> list[Run]:
    """`spans` without the bare names at their end, if the sentence from `start` on has a value before them."""
    kept = list(spans)
    while kept and kept[-1].start >= start and not says_value(kept[-1]):
        name = kept.pop()
        if SAID.search(text, max(start, name.start - LONGEST_LEAD), name.start):
            return spans
    if not kept or kept[-1].start < start or (len(kept) < len(spans) and are_listed(text, kept[-1], spans[len(kept)])):
        return spans
    return kept


def without_attributes(text: str, start: int, spans: list[Run]) -> list[Run]:
    """`spans` without the numbers of adjectives at their end, `24-hour`, if the sentence from `start` on has others."""
    kept = list(spans)
    while len(kept) > 1 and kept[-2].start >= start and ATTRIBUTE.match(text, kept[-1].end):
        if is_calculation(text, kept[-1]):
            break
        kept.pop()
    return kept


def is_calculation(text: str, span: Run) -> bool:
    """Whether a formula is a calculation with its result."""
    return computes(text[span.start : span.end].strip("$"))


def without_circumstances(text: str, start: int, spans: list[Run], asked: Asked) -> list[Run]:
    """`spans` without those at their end that only say for what a value before them in the sentence holds."""
    kept = list(spans)
    while len(kept) > 1 and kept[-2].start >= start:
        last, before = kept[-1], kept[-2]
        lead = text[max(before.end, last.start - LONGEST_LEAD) : last.start]
        if (
            not (CIRCUMSTANCE.search(lead) or OFFSET.match(text, last.end))
            or CONCLUDES.search(text[before.end : last.start])
            or TOTAL.match(text, last.end)
            or not AMOUNT_ONLY.fullmatch(last.text)
        ):
            break
        others = [span for span in kept[:-1] if span.start >= start]
        known = is_given(last.text, asked) and not all(is_given(span.text, asked) for span in others)
        if not known and not is_calculation(text, before):
            break
        kept.pop()
    return kept


def counted_formula(text: str, start: int, spans: list[Run], asked: Asked) -> Run | None:
    """The only formula of the sentence from `start` on before the noun that "how many" asks for, unless the last one
    may count the same: it is an amount of something else."""
    if not asked.noun or len(spans) < 2:
        return None
    noun = re.compile(rf"\s*(?:[^\W\d_]+\s+){{0,2}}?{re.escape(asked.noun)}[a-z]{{0,3}}\b", re.IGNORECASE)
    last = spans[-1]
    beside = re.compile(rf"{noun.pattern},?\s+and\s+", re.IGNORECASE)
    is_other = (
        OTHER_KIND.search(text[max(0, last.start - 2) : last.start + 2]) is not None
        or CIRCUMSTANCE.search(text[max(spans[-2].end, last.start - LONGEST_LEAD) : last.start]) is not None
        or (beside.fullmatch(text, spans[-2].end, last.start) is not None and not TOTAL.match(text, last.end))
    )
    if noun.match(text, last.end) or not is_other or is_calculation(text, last):
        return None
    found = [
        span for span in spans if span.start >= start and noun.match(text, span.end) and not is_given(span.text, asked)
    ]
    return found[0] if len(found) == 1 else None


def says_value(span: Run) -> bool:
    """Whether a formula is more than a name: `AB`, `S_{12}` and `f(x)` are names."""
    return VALUE.search(DECORATION.sub("", span.text)) is not None


def without_restatement(text: str) -> str:
    """`text` without the repetition of its value in percent at the end: "1/2, or 50%"."""
    if not IN_PERCENT.search(text):
        return text
    spans = formulas_in(text)
    restated = len(spans) > 1 and is_restated(text, spans[-2], spans[-1])
    return text[: spans[-2].end] if restated and not text[spans[-1].end :].strip(" .$") else text


def leading_formula(text: str) -> str | None:
    """The answer of a statement that begins with it: `14 apples` of "14 apples were sold on day 2".

    The last formula counts all the same if it is the value of what precedes it, or only a part of the answer.
    """
    spans = formulas_in(text)
    if len(spans) < 2 or compound_amount(text) is not None:
        return last_formula(text)
    parts = lists_of(text, spans)[0]
    end = parts[-1].end
    before_last = text[spans[-2].end : spans[-1].start]
    is_value = "=" in text[spans[-1].start : spans[-1].end] or RESULT.search(before_last) is not None
    if is_value or ANOTHER_PART.search(text, end) or TIED.match(text, end):
        return last_formula(text)
    return ", ".join(part.text for part in parts)


def is_restated(text: str, span: Run, following: Run) -> bool:
    """Whether the second of two formulas says in percent or as a decimal what the first one says: `1/2, or 50%`."""
    in_percent = ["%" in text[part.start : part.end + 2] for part in (span, following)]
    gap = text[span.end : following.start]
    if len(gap) > LONGEST_SEPARATOR or gap.strip(" \n,(") != "or":
        return False
    numbers = [read_plain_number(part.text.lstrip("\\$€£")) for part in (span, following)]
    if numbers[0] is not None and numbers[1] is not None and not any(in_percent):
        return plain_numbers_equal(numbers[0], numbers[1])
    return in_percent == [False, True] and not is_calculation(text, span)


def are_listed(text: str, span: Run, following: Run) -> bool:
    """Whether two formulas are parts of one list; two calculations are not, because the second uses the first."""
    gap = text[span.end : following.start]
    if not gap.strip() or len(gap) > LONGEST_SEPARATOR or BETWEEN_PARTS.fullmatch(gap) is None:
        return False
    return not any(is_calculation(text, part) for part in (span, following))


def compound_amount(text: str) -> str | None:
    """The last amount in two units, if no number follows it."""
    amount = last_match(AMOUNTS, text)
    if amount is None or read_compound(amount[0]) is None or re.search(r"\d", text[amount.end() :]):
        return None
    return amount[0]
