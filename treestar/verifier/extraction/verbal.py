"""Answers in words: the option that a reply names as correct, yes or no, true or false, no solution."""

from __future__ import annotations

import re

from treestar.verifier.extraction.remarks import CONCLUSION, CONFIRMS, last_sentence_start
from treestar.verifier.extraction.wording import SO, any_of, worded
from treestar.verifier.extraction.wrapping import unwrapped
from treestar.verifier.notation.spoken_forms import COUNT_WORDS

__all__ = ["VALUE_STATED", "chosen_option", "last_words", "leading_verdict", "same_verdict", "verbal_answer"]

LONGEST_END = 1000
"""In characters: only the end of a longer text is read."""
LONGEST_OPTION = 200
"""In characters, of an option and its text."""

OPTION = re.compile(r"\(?[A-HJ][.):]\s+\S.*|\(?[A-HJ]\)?[.:]?")
IS_RIGHT = r"\s+(?:is|must\s+be)\s+(?:the\s+)?(?:only\s+)?(?:correct|right|best)\b"
CHOSEN = re.compile(
    # Option C is correct
    rf"\b(?i:option|choice|answer)\s+(?:\*\*)?\(?(?P<letter>[A-J])\)?(?:\*\*)?[^.\n]{{0,40}}?{IS_RIGHT}"
    rf"|(?<![\w)])\((?P<bracketed>[A-J])\){IS_RIGHT}"  # (C) is the correct answer
    # I would pick B
    r"|\bI\s+(?:would\s+|will\s+)?(?:pick|choose|select|go\s+with|think\s+it(?:['’]s|\s+is))\s+\(?(?P<picked>[A-J])\)?"
    r"(?=[.,;!*]|\s+[-–—]|\s+(?:because|since|as)\b|\s*$)"
)
UNDECIDED = worded(r"\b(?:if|whether|unless|not)\b[^.,;\n]*$")
IS_OPTION = re.compile(
    r"\b(?:is|be|are)\s+(?P<option>\([A-J]\)(?:\s+[-\d$\\€£]?[\w./%]{0,20}[\w%](?:\s+[a-z]+){0,3})?)\s*[.!]?$"
)
"""A sentence that says which option something is: "the largest is (B) 2/3"."""
NAMED_OPTION = re.compile(r"\b(?i:option|choice)\s+\(?(?P<words>[A-J])\)?\s*[.!]?\s*$")
"""Hence, option C."""

# Verdicts.
AS_REPLY = {"true": "yes", "false": "no"}
LEADING_VERDICT = worded(
    r"[\s*_]*(?:\\text\{)?\s*(?P<verdict>yes|no|true|false)[*_]*(?P<bare>[\s.!*_}]*$)?(?:(?(bare)|[.,;:!*]))"
)
ASSENT = any_of(
    r"wait|actually|sorry|hmm|oops|let'?s?\b|sure|of course|here\b|(?:it|we) should|not quite|I\b",
    r"we (?:can|could|need|have|get|find)\s|(?:that|this)(?:'s| (?:is|was)) (?:not )?(?:right|wrong|correct)",
)
OPENING_VERDICT = worded(
    rf"[\s*_>]*(?P<concludes>{SO}\s*,? )?(?P<verdict>yes|no|true|false)\b[*_]*"
    r"(?:[.,;:!]| [-–—]\s|—| (?=because\b|since\b|as\b))[*_]*"
    rf"(?!\s*(?:{ASSENT}|\d+[.\s]*$))"
)
"""The verdict that a sentence begins with, which is not a word of assent or correction, or the number of something."""
STATED_VERDICT = worded(
    r"\b(?:statement|claim|proposition|conjecture|assertion) is (?:therefore |thus |always )?(?P<verdict>true|false)"
    r"\s*[.!]?\s*$"
)
CONCLUDED = worded(rf"{CONCLUSION.pattern}[^\d\n]*\d")
CLAIM = worded(
    r"\b(?:is|are|was|were|do|does|did|can|cannot|could|has|have|exists?)(?:n't)?\b", r"\b(?:divides|contains)\b"
)
"""What a sentence has that says more than a formula."""
VALUE_STATED = worded(
    r"(?:=|\b(?:is|are|was|were|be|equals?|has|have|had|gets?|makes?|gives?|costs?|needs?|leaves?|takes?|spends?|pays?"
    r"|earns?)\s)\s*(?:(?:exactly|only|about|approximately|indeed|also|still|just|the|an?) )*[-+$\\({*]*\d"
)
"""A number that a sentence says something to be."""

# Days, and what there is none of.
WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
MONTH = r"(?:Jan|Febr)uary|March|April|May|June|July|August|(?:Septem|Octo|Novem|Decem)ber"
ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
DATED = re.compile(
    r"(?:\b(?:is|be|was|falls)\s+(?:on\s+)?(?:\*\*)?|^)"
    rf"(?P<date>(?:{WEEKDAY},?\s+)?(?:(?:{MONTH})\s+{ORDINAL}|{ORDINAL}\s+(?:of\s+)?(?:{MONTH}))"
    r"(?:,?\s+\d{4})?)(?:\*\*)?[.!]?$"
)
"""A sentence that says on which day something is."""
ON_A_DAY = re.compile(
    r"\b(?:is|be|was|falls)\s+(?:(?:on|an?)\s+)?"
    rf"(?:\*\*)?(?P<day>{WEEKDAY})(?:\*\*)?(?:\s+in\s+\d+\s+\w+)?\s*[.!]?$"
)
"""A sentence that says which day of the week something is."""
DAY = re.compile(rf"\b(?P<words>{WEEKDAY})\s*[.!]?\s*$")
NO_SOLUTION = worded(
    r"\b(?:there (?:is|are)|(?:has|have)) (?P<none>no(?: (?:real|integer|such))? solutions?)\b"
    r"(?:[^.\d]*| (?:to|for|of) (?:the|this) (?:equation|system|inequality)\b.*)[.!]?\s*$"
)
NOTHING = worded(r"\b(?P<words>infinitely many(?: \w+)?|does not exist|(?:is|are) undefined)\s*[.!]?\s*$")
NOTHING_LEFT = worded(r"\b(?:is|are|has|have|had|be|will have) no (?:[a-z]+ ){1,3}(?:left|remaining|remain)\b")

# Other words.
PRINTED = re.compile(r"\{\w+: [^{}]+\}|\[\s*-?\d[-\d.,\s]*\]")
"""A dictionary or an array as Python prints it."""
HEADING = worded(r"(?:final )?(?:answer|solution|step|conclusion|note|explanation|result)\b", ".*:$")
DIGIT = re.compile(r"\d")
BOLD = re.compile(r"(?:\*\*|__)(?P<words>[^*_\n]{1,60})(?:\*\*|__)")
COUNT = any_of(*COUNT_WORDS)
COUNTED = worded(
    r"(?:^|\b(?:is|are|was|were|be|has|have|had|gets?|leaves?|needs?|costs?|takes?|took|equals?|makes?|remains?)\s)"
    rf"(?:(?:exactly|only|just|about|approximately|still|now) )*(?P<words>{COUNT}(?:[-\s]{COUNT})?)"
    r"(?! of\b)(?= [^\W\d_]|\W*$)"
)
"""A number in words that a sentence says something to be, or begins with."""


def chosen_option(text: str) -> str | None:
    """The letter of `option C is correct`, the last such statement in `text`; None without one."""
    for match in reversed(list(CHOSEN.finditer(text, max(0, len(text) - LONGEST_END)))):
        if UNDECIDED.search(text, max(0, match.start() - LONGEST_OPTION), match.start()) is None:
            return match["letter"] or match["bracketed"] or match["picked"]
    return None


def leading_verdict(text: str) -> str | None:
    """The yes, no, true or false that `text` begins with, before a comma or a full stop or alone; else None."""
    match = LEADING_VERDICT.match(text)
    return None if match is None else match["verdict"]


def same_verdict(one: str, other: str) -> bool:
    """Whether two texts begin with the same verdict, and one of them says nothing else: `No` and `No, it is odd`."""
    first, second = LEADING_VERDICT.match(one), LEADING_VERDICT.match(other)
    if first is None or second is None or (first["bare"] is None and second["bare"] is None):
        return False
    said, wanted = first["verdict"].lower(), second["verdict"].lower()
    return AS_REPLY.get(said, said) == AS_REPLY.get(wanted, wanted)


def verbal_answer(text: str) -> str | None:
    """What the last line of `text` says if that is an option, a date, a verdict, or that there is no solution; else
    None."""
    before, _, last = text.rstrip().rpartition("\n")
    line = unwrapped(last.strip()[-LONGEST_END:])
    # After another option, it is the end of a list of them.
    listed = OPTION.fullmatch(before.rstrip().rpartition("\n")[2].strip()) is not None
    if len(line) <= LONGEST_OPTION and OPTION.fullmatch(line) and not listed:
        return line
    if PRINTED.fullmatch(line):
        return re.sub(r"\.?\s+(?=[-\d])", ", ", line.replace(".]", "]")) if line[0] == "[" else line
    sentence = re.split(r"(?<=[.!?])\s+", line)[-1]
    said = DATED.search(line) or ON_A_DAY.search(sentence) or IS_OPTION.search(sentence)
    if said is not None:
        return said[1]
    none = NO_SOLUTION.search(sentence)
    if none is not None:
        return none["none"].lower()
    verdict = STATED_VERDICT.search(sentence)
    if verdict is not None:
        return verdict["verdict"]
    return (None if DIGIT.search(line) else leading_verdict(line)) or opening_verdict(text)


def opening_verdict(text: str) -> str | None:
    """The verdict that the first or the last sentence of `text` begins with, or its last line; None if the text reads
    as one about a number.

    In a later sentence it can also confirm a value, or answer a question that the text asks itself.
    """
    text = text.rstrip()
    ends = last_sentence_start(text)
    first = OPENING_VERDICT.match(text)
    if first is not None and first["concludes"] is None and not (ends and CONCLUDED.search(text, ends)):
        return first["verdict"]
    for start in (ends, text.rfind("\n") + 1):
        said = text[start : start + LONGEST_END]
        verdict = OPENING_VERDICT.match(said)
        if verdict is None or text[:start].rstrip(" \n*_").endswith("?"):
            continue
        if CLAIM.search(said) is not None and VALUE_STATED.search(said) is None and CONFIRMS.search(said) is None:
            return verdict["verdict"]
    return None


def last_words(text: str) -> str | None:
    """What the last line of a `text` without digits and formulas says: the only words in bold, an option, that there
    is nothing, a day of the week, or a number in words; else None."""
    line = text.rstrip().rpartition("\n")[2][-LONGEST_END:]
    bold = BOLD.findall(line)
    if len(bold) == 1 and not HEADING.match(bold[0].strip()):
        return str(bold[0]).strip().removesuffix(".") or None
    if NOTHING_LEFT.search(line):
        return "0"
    found = next(filter(None, (each.search(line) for each in (NAMED_OPTION, NOTHING, DAY, COUNTED))), None)
    return None if found is None else re.sub(r"^(?:is|are)\s+", "", found["words"])
