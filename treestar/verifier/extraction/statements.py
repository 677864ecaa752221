r"""Reads what a text states to be its answer: what begins after "answer is", "####", "答案是" and the like.

The last statement counts; one about a result may be about a single step. Of "12, since she gave away 3", the reason is
left out; of a sentence that does not begin with its answer, the formula in it that is the answer is read.
"""

from __future__ import annotations

import re

from treestar.verifier.extraction.bare_math import computes, value_of
from treestar.verifier.extraction.chains import chain_value
from treestar.verifier.extraction.delimiters import MATH, plain_words, without_delimiters
from treestar.verifier.extraction.formulas import last_formula, leading_formula, without_restatement
from treestar.verifier.extraction.phrases import ANSWER_PHRASE, CONNECTIVE, OTHER_SCRIPT, RESULT_PHRASE, last_match
from treestar.verifier.extraction.verbal import leading_verdict
from treestar.verifier.extraction.wording import any_of, worded
from treestar.verifier.extraction.wrapping import unwrapped
from treestar.verifier.notation.units import read_compound

__all__ = ["announced_answer", "boxed_answer", "final_result", "is_prose", "states_an_answer"]

LONGEST_END = 2000
"""In characters, of the end of a text in which a statement is looked for before a further question."""
OPTION_MARK = re.compile(r"\s*\(?[A-J][.):]")
MOST_OPTION_WORDS = 2
"""After the letter of an option; more of them say why it is right."""

SENTENCE_END = re.compile(r"[.!?]\**\s+(?=[A-Z\"“(*])")
FULL_STOP = re.compile(r"(?<!\.)\.$")
NUMBERED_HEADING = re.compile(r"\d{1,2}[.)]\s+\S")
HEADING = re.compile(r"[^\W\d_]{2,}[^\n]*\s")
"""After `####` in Markdown: `Step 3`."""
BEGINS_WITH_ANSWER = re.compile(
    r"(?:(?:approximately|about|exactly|simply|just|therefore|thus|equal\s+to|then|that)\s+|[:*\s])*(?:"
    r"\\?[$€£¥]?\s?[-+−(\[{|]*\s*(?:\\?[$€£¥])?[.\d]|[-+−]?\\[a-zA-Z({\[]|[-+−]?\$"  # 5, -$3, (1, 2); -\frac{1}{2}; $x$
    r"|\(?[A-J]\)?(?:[\s.,)*]|$)|[πℝ√∞∅])"  # (B); ∞
)
IS = re.compile(r"\b(?:is|are|equals|was)\b\s*:?|=\s*")
"""Before the answer that a sentence ends with."""
ABOUT = r"or (?:approximately|about|roughly|around)"
REASON = re.compile(
    r"(?<=\S)(?<!\bwell)(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bdo)(?<!\bdoes)"
    + any_of(
        rf"[,;]? (?:since|because|as(?! well)|not|rather than|{ABOUT})\b",  # 12, since she gave away 3
        r"(?:(?<=^[A-J])|(?<=^\([A-J]\)))(?:, (?=[a-z]{2})| [-–—]\s| (?:non|nicht|no|pas)\b)",  # B - a safe choice
        rf" \((?!(?:and|(?!{ABOUT})or)\b)(?![^()]*\b(?:mod|modulo|base|binary|octal|hex\w*|sin|cos|tan|log|exp)\b)"
        r"(?=[^()]*(?:≈|\\approx|(?<![\\\w.])[^\W\d_]{3,}(?![\w{(])))",  # 7/12 (about 58.3%); not 5 (mod 7)
    )
)
"""What makes the rest of a statement a reason, a contrast or a remark."""
APPROXIMATELY = worded("(?:approximately|about|around|roughly|exactly) ")
IN_BASE = re.compile(r"[0-9A-F]{1,60},?\s*(?:\(\s*)?(?:in\s+)?base\s+\w{1,5}\s*\)?")
BOUND = worded(
    r"(?:(?:no )?(?:more|less|fewer|greater|larger|smaller) than|at (?:least|most)|(?:all )?multiples of)"
    r" \S{1,60}(?: [^\W\d_]+){0,2}"
)
"""A number that is a bound, not the answer itself."""
DIGIT = re.compile(r"\d")

# Sentences, as opposed to a bare answer.
FEWEST_WORDS = 5
"""Plain words that make a text without formulas a sentence; beside LaTeX commands one fewer is enough."""
LATEX_COMMAND = re.compile(r"\\[a-zA-Z]{2,}")
STRUCTURED = worded(r"\s*(?:#{1,6}\s|[*_]*(?:step|answer|final answer|solution|explanation)\b)[^\n]*\n")
"""A heading, or another line that says what the next ones are."""
FURTHER_SENTENCE = re.compile(r"[.!?]\**[ \t]+(?=[A-Z][a-z])|\n[ \t]*\n[ \t]*(?=[A-Z][a-z])")
"""After a number: `4. This is because 2 + 2 = 4.`"""
SUBJECT = r"(?:the|this|that|it|he|she|they|we|there|his|her|their|each|i|you)"
VERB = r"(?:is|are|was|were|equals?|costs?|has|have|had|pays?|gets?|makes?|needs?|gives?|sells?|earns?|spends?|left)"
SHORT_SENTENCE = worded(
    r"[^\d]*(?:\d+[^\d]+)?\b(?:it|that|there|he|she)'s [-\d\\$][^a-z]*",  # There's 1 left
    r"(?!.*\b(?:at|than|not|no|if|all|every|between)\b)"
    r"(?:(?:it|he|she|they|we|this) [a-z]+ (?:[a-z]+ ){0,2}[-\d\\$]"  # It takes 5 hours
    rf"|{SUBJECT} (?:[\w'’]+ ){{0,3}}{VERB}\s[^.]*\d)",  # Her share is 5
    flags=re.IGNORECASE | re.DOTALL,
)
"""A sentence of a few words that ends in a number, and in nothing that changes its meaning."""
WHOLE_SENTENCE = re.compile(r"[^\W\d_a-z][^.\\]*\d[^.\\]*\.")
"""A capital letter, a number and a full stop."""
PRICE_IN_WORDS = re.compile(r"(?=[^$]*\\\$)[^\d$\\]*[^\W\d_]{3,}[^\d]*\d")
"""A word before an amount of money."""
QUALIFIED = worded(
    r"\b(?:at|than|not|no|if|all|any|every|between|under|over|up|from|less|more|except|without|other|or|when|where|for"
    r"|infinitely|solutions?|odd|even|multiples?|primes?|integers?|powers?)\b"
)
"""What makes an amount or a number more than that: `at most $5`, `5 or more`."""


def announced_answer(text: str, start: int = 0, strict: bool = False) -> str | None:
    """What the last phrase after `start` announces, of those that are not about the result of a step; else None.

    `strict`: a box comes before, so only what certainly is an answer may replace it.
    """
    for phrase in reversed(list(ANSWER_PHRASE.finditer(text, start))):
        stated = None if RESULT_PHRASE.match(phrase[0]) else stated_by(text[phrase.end() :], phrase[0], strict)
        if stated:
            return stated
    return None


def boxed_answer(content: str) -> str | None:
    r"""What the `content` of a box says its answer is, `5` of `\text{the answer is 5}`; else all of it."""
    said = last_match(ANSWER_PHRASE, content)
    stated = None if said is None else stated_by(content[said.end() :].strip(" {}"), said[0], strict=True)
    return stated or content or None


def final_result(text: str) -> str | None:
    """What follows the last "result is", unless a later number makes it the result of one step only."""
    if RESULT_PHRASE.search(text) is None:
        return None
    results = [phrase for phrase in ANSWER_PHRASE.finditer(text) if RESULT_PHRASE.match(phrase[0])]
    if not results:
        return None
    rest = text[results[-1].end() :].lstrip()
    if DIGIT.search(rest, len(first_statement(rest))):
        return None
    return stated_by(rest, results[-1][0], strict=False)


def states_an_answer(text: str) -> bool:
    """Whether one of the last phrases in `text` announces what certainly is an answer."""
    end = text[-LONGEST_END:]
    announced = list(ANSWER_PHRASE.finditer(end))
    return any(stated_by(end[phrase.end() :], phrase[0], strict=True) for phrase in announced[-3:])


def stated_by(rest: str, phrase: str, strict: bool) -> str | None:
    """The answer that `rest`, the text after a phrase, begins with; None if it states none."""
    statement = first_statement(rest)
    if not statement or (phrase.startswith("#") and is_heading(statement, rest)):
        return None
    if not strict or BEGINS_WITH_ANSWER.match(statement):
        return whole_or_formula(statement)
    said = last_match(IS, statement)
    return whole_or_formula(statement) if said and BEGINS_WITH_ANSWER.match(statement, said.end()) else None


def first_statement(text: str) -> str:
    """The first sentence of `text`; a formula may be on separate lines, otherwise a line ends the statement."""
    stripped = text.strip()
    if stripped.startswith(("$", "\\[", "\\(", "\\begin")):
        return stripped
    line = stripped.split("\n", 1)[0].strip()
    end = SENTENCE_END.search(with_formulas_hidden(line))
    return line if end is None else line[: end.start() + 1]


def with_formulas_hidden(text: str) -> str:
    """`text` with an x for each character of its formulas."""
    return MATH.sub(lambda match: "x" * len(match[0]), text)


def is_heading(statement: str, rest: str) -> bool:
    """Whether what `rest` begins with after `####` is a heading in Markdown, not an answer of GSM8K."""
    if NUMBERED_HEADING.match(statement):
        return True
    goes_on = len(rest.strip()) > len(statement)
    return goes_on and HEADING.match(statement) is not None and only_formulas(statement) is None


def whole_or_formula(statement: str) -> str | None:
    """The whole statement if it is only an answer, else the formula in it that is the answer."""
    statement = FULL_STOP.sub("", unwrapped(statement).strip().strip("*").strip()).strip()
    verdict = leading_verdict(statement)
    if verdict is not None:
        return verdict
    option = OPTION_MARK.match(statement)
    if option is not None and len(plain_words(MATH.sub(" ", statement))) > MOST_OPTION_WORDS:
        return option[0].strip(" (.):")
    begins = BEGINS_WITH_ANSWER.match(statement) is not None
    if begins:
        statement = without_restatement(without_reason(statement))
    exact = APPROXIMATELY.sub("", statement)
    if read_compound(exact) is not None or IN_BASE.fullmatch(exact) or BOUND.fullmatch(exact):
        return exact
    bare = only_formulas(exact)
    if bare is not None:
        return value_of(bare).removesuffix(".") if computes(bare) else chain_value(bare)
    formula = leading_formula(statement) if begins else last_formula(statement)
    return formula if formula is not None else exact or None


def without_reason(statement: str) -> str:
    """`statement` up to a reason, a contrast or a remark in brackets: `12` of "12, since she gave away 3"."""
    reason = REASON.search(with_formulas_hidden(statement))
    return statement if reason is None else statement[: reason.start()].rstrip(" ,;")


def only_formulas(text: str) -> str | None:
    """The math in a text that consists of formulas, separators and at most one word; else None."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    if len(words) > 1 or (words and not MATH.search(text) and len(outside) > 40):
        return None
    if OTHER_SCRIPT.search(outside) and (MATH.search(text) or DIGIT.search(text)):
        return None
    return without_delimiters(text)


def is_prose(text: str) -> bool:
    """Whether `text` consists of sentences with formulas, rather than one answer."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    has_formula = MATH.search(text) is not None
    has_command = LATEX_COMMAND.search(outside) is not None
    before_number, *after_number = DIGIT.split(outside, maxsplit=1)
    if ANSWER_PHRASE.search(outside) or STRUCTURED.match(text):
        return True
    if words and any(map(FURTHER_SENTENCE.search, after_number)) and OPTION_MARK.match(text) is None:
        return True
    if CONNECTIVE.match(outside) and (len(words) > 1 or has_formula or has_command or after_number):
        return True
    if after_number and len(OTHER_SCRIPT.findall(before_number)) > 1:
        return True  # Words in another script before a number make a sentence; after it, they are its unit.
    if SHORT_SENTENCE.match(outside):
        return True
    if not QUALIFIED.search(outside) and (
        PRICE_IN_WORDS.match(outside) or (WHOLE_SENTENCE.fullmatch(outside) and len(words) >= 3)
    ):
        return True
    if has_command:
        # LaTeX without dollar signs has its words in \text{...}; a sentence has others.
        return len(words) >= FEWEST_WORDS - 1
    return bool(words) if has_formula else len(words) >= FEWEST_WORDS
