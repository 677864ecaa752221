r"""Finds the final answer in a text by a model or a data set: "what does this reply answer?"

docs/concepts/grading.md has the rules, in the order in which they apply here.

Every function scans the text a fixed number of times, so that the cost of a hostile text is linear in its length.
"""

from __future__ import annotations

import re
import string
from itertools import islice
from typing import NamedTuple

from treestar.verifier.extraction import phrases
from treestar.verifier.extraction.asked import NOTHING_ASKED, NUMBER, Asked, is_given, numbers_in, read_question
from treestar.verifier.extraction.asked_answers import asked_answer
from treestar.verifier.extraction.bare_math import computes, value_of
from treestar.verifier.extraction.boxes import BOX, boxed_contents, boxes_in, joined_boxes, without_empty_boxes
from treestar.verifier.extraction.chains import chain_value
from treestar.verifier.extraction.delimiters import (
    MATH,
    plain_words,
    with_escaped_currency,
    without_delimiters,
    without_inner_dollars,
)
from treestar.verifier.extraction.fences import without_programs
from treestar.verifier.extraction.formulas import CONCLUDES, last_formula, leading_formula, without_restatement
from treestar.verifier.extraction.phrases import last_match, translated_marks, without_pictures
from treestar.verifier.extraction.prose import tidied_prose
from treestar.verifier.extraction.remarks import last_sentence_start, without_offers, without_remarks
from treestar.verifier.extraction.verbal import VALUE_STATED, chosen_option, last_words, leading_verdict, verbal_answer
from treestar.verifier.extraction.wrapping import unwrapped
from treestar.verifier.notation.units import read_compound

__all__ = ["Statement", "boxed_contents", "extract_answer", "stated_answer", "states_answer", "without_delimiters"]

LONGEST_SCAN = 200_000
"""In characters; only the end of a longer text is read, because the final answer is there."""
MOST_QUESTIONS = 20
"""Further questions that are looked at, because a hostile text could repeat the word."""
FEWEST_WORDS = 5
"""Plain words that make a text without formulas a sentence; beside LaTeX commands one fewer is enough."""

MOST_OPTION_WORDS = 2
"""After the letter of an option; more of them say why it is right."""
LATEX_COMMAND = re.compile(r"\\[a-zA-Z]{2,}")
SENTENCE = re.compile(r"[.!?]\**\s+(?=[A-Z\"“(*])")
HEADING = re.compile(r"\d{1,2}[.)]\s+\S|[^\W\d_]{2,}[^\n]*\s")
STARTS_WITH_ANSWER = re.compile(
    r"(?:(?:approximately|about|exactly|simply|just|therefore|thus|equal\s+to|then|that)\s+|[:*\s])*"
    r"(?:\\?[$€£¥]?\s?[-+−(\[{|]*\s*(?:\\?[$€£¥])?[.\d]|[-+−]?\\[a-zA-Z({\[]|[-+−]?\$|\(?[A-J]\)?(?:[\s.,)*]|$)|[πℝ√∞∅])",
)
ENDS_WITH_ANSWER = re.compile(r"\b(?:is|are|equals|was)\b\s*:?|=\s*")
REASON = re.compile(
    r"(?<=\S)(?<!\bwell)(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bdo)(?<!\bdoes)(?:[,;]?\s+(?:since|because|as(?!\s+well)|not|rather\s+than"
    r"|or\s+(?:approximately|about|roughly|around))\b"
    r"|(?:(?<=^[A-J])|(?<=^\([A-J]\)))(?:,\s+(?=[a-z]{2})|\s+[-–—]\s|\s+(?:non|nicht|no|pas)\b)"
    r"|\s+\((?!(?:and|or(?!\s+(?:approximately|about|roughly|around)))\b)"
    r"(?![^()]*\b(?:mod|modulo|base|binary|octal|hex\w*|sin|cos|tan|log|exp)\b)"
    r"(?=[^()]*(?:≈|\\approx|(?<![\\\w.])[^\W\d_]{3,}(?![\w{(]))))"
)
"""What makes the rest of a statement a reason, a contrast or a remark. `5 (mod 7)` has none."""
BARE_BOX = re.compile(r"(\\boxed) ?(-?\d[\d.,/]*(?<=\d))(?=\s*(?:\$|\\|[.,;]?\s*(?:\n|$)))")
"""TeX puts a single digit into a box also without braces; some models write whole numbers so."""
RESIDUE = re.compile(r"(?<=\d)\s\(mod\s(\d+)\)")
"""A modulus in prose, which belongs to the number before it."""
APPROXIMATELY = re.compile(r"(?:approximately|about|around|roughly|exactly)\s+", re.IGNORECASE)
FULL_STOP = re.compile(r"(?<!\.)\.$")
IN_BASE = re.compile(r"[0-9A-F]{1,60},?\s*\(?\s*(?:in\s+)?base\s+\w{1,5}\s*\)?")
BOUND = re.compile(
    r"(?:(?:no\s+)?(?:more|less|fewer|greater|larger|smaller)\s+than|at\s+(?:least|most)|(?:all\s+)?multiples\s+of)"
    r"\s+\S{1,60}(?:\s+[^\W\d_]+){0,2}",
    re.IGNORECASE,
)
"""A number that is a bound, not the answer itself."""
STRUCTURED = re.compile(
    r"\s*(?:#{1,6}\s|[*_]*(?:step|answer|final\s+answer|solution|explanation)\b)[^\n]*\n", re.IGNORECASE
)
"""A heading, or another line that says what the next ones are."""

AFTER_BOX = f"{string.whitespace}$."
"""Characters that may follow a box at the end of a text."""
SHORT_SENTENCE = re.compile(
    r"[^\d]*(?:\d+[^\d]+)?\b(?:it|that|there|he|she)['’]s\s+[-\d\\$][^a-z]*"
    r"|(?!.*\b(?:at|than|not|no|if|all|every|between)\b)(?:"
    r"(?:it|he|she|they|we|this)\s+[a-z]+\s+(?:[a-z]+\s+){0,2}[-\d\\$]"
    r"|(?:the|this|that|it|he|she|they|we|there|his|her|their|each|i|you)\s+(?:[\w'’]+\s+){0,3}"
    r"(?:is|are|was|were|equals?|costs?|has|have|had|pays?|gets?|makes?|needs?|gives?|sells?|earns?|spends?|left)\s"
    r"[^.]*\d)",
    re.IGNORECASE | re.DOTALL,
)
"""A sentence of a few words that ends in a number, and in nothing that changes its meaning."""
PRICE_IN_WORDS = re.compile(r"(?=[^$]*\\\$)[^\d$\\]*[^\W\d_]{3,}[^\d]*\d")
"""A word before an amount of money."""
QUALIFIED = re.compile(
    r"\b(?:at|than|not|no|if|all|any|every|between|under|over|up|from|less|more|except|without|other|or|when|where|for|"
    r"infinitely|solutions?|odd|even|multiples?|primes?|integers?|powers?)\b",
    re.IGNORECASE,
)
FURTHER_SENTENCE = re.compile(r"[.!?]\**[ \t]+(?=[A-Z][a-z])|\n[ \t]*\n[ \t]*(?=[A-Z][a-z])")
"""After a number: `4. This is because 2 + 2 = 4.`"""
OPTION_MARK = re.compile(r"\s*\(?[A-J][.):]")
WHOLE_SENTENCE = re.compile(r"[^\W\d_a-z][^.\\]*\d[^.\\]*\.")
"""A capital letter, a number and a full stop."""


BOLD_VALUE = re.compile(
    r"(?<=\w\s)\*\*(?=\\?[-−+$€£¥]{0,2}\s?(?:\d|[¼-¾⅐-⅞]))(?!\d+[.)]\s)[^*\n=:]{1,40}(?<!:)\*\*(?![\w*])(?!\s*[-+*/×÷−=(])"
)
"""A value in bold that does not begin its sentence."""


VALUE_IN_BOLD = re.compile(
    r"\*\*(?!\d+[.)]\s|(?:step|part|case|problem|question|example|method|option)\b)(?=[^*\n]*(?:[\dπ√¼-¾]|day\b))"
    r"(?:[^*\n:]|:(?=\d)){1,60}\*\*(?!\s*[-+*/×÷−=]\s*\d)(?!:)",
    re.IGNORECASE,
)


class Statement(NamedTuple):
    """The answer in a text."""

    answer: str
    guessed: bool
    """Whether it is just the last formula of a text that does not state which formula is the answer."""


def extract_answer(text: str, question: str = "") -> str | None:
    r"""The final answer in `text`, or None if there is none. docs/concepts/grading.md has the rules.

    Args:
        question: what `text` replies to, if known; it tells a given number from an answer where the reply states none.

    `\boxed{4}` gives `4`, "The roots are $2$ and $3$." gives `2, 3`, "so x = 2*sqrt(3)" gives `2*sqrt(3)`.
    """
    asked = read_question(question) if question else NOTHING_ASKED
    answer = answer_in(readable(text, asked), asked)
    if answer is None:
        return last_words(without_offers(text))
    return answer if "\\$" in text else answer.replace("\\$", "$")


def states_answer(text: str) -> bool:
    """Whether `text` says what its answer is, in a box or after a phrase; if not, `extract_answer` guesses."""
    reply = readable(text)
    return bool(boxes_in(reply)) or states_an_answer(reply)


def readable(text: str, asked: Asked = NOTHING_ASKED) -> str:
    """The part of a reply that can state its answer, with one kind of marks and without notes (rule 1)."""
    text = without_programs(without_pictures(translated_marks(text[-LONGEST_SCAN:])))
    if "<" in text or "[/THINK]" in text:
        text = phrases.CALCULATION.sub("", text)
        thought = last_match(phrases.THOUGHT_END, text)
        if thought is not None and text[thought.end() :].strip():
            text = text[thought.end() :]
    text = with_field_as_phrase(text)
    remark = phrases.CLOSING_REMARK.search(text)
    if remark is not None and text[: remark.start()].strip(" .\n"):
        text = text[: remark.start()].rstrip()
    text = without_offers(text)
    text = without_empty_boxes(BARE_BOX.sub(r"\1{\2}", text) if "\\boxed" in text else text)
    if "**" in text and not boxes_in(text) and phrases.ANSWER_PHRASE.search(text) is None:
        text = until_first_value(text, asked) or until_emphasis(text)
    return tidied_prose(with_escaped_currency(text, [(box.start, box.end) for box in boxes_in(text)]))


def until_first_value(text: str, asked: Asked) -> str | None:
    """`text` up to the value in bold in its first line, if no other is in bold and what follows only explains it: the
    question does not give it, the last sentence concludes nothing, and nothing new is computed from it."""
    values = list(VALUE_IN_BOLD.finditer(text))
    if asked is NOTHING_ASKED or len(values) != 1 or "\n" in text[: values[0].end()].lstrip():
        return None
    end = values[0].end()
    concludes = phrases.CONNECTIVE.match(text[max(end, last_sentence_start(text)) :].strip("*_ "))
    if concludes or is_given(values[0][0], asked) or goes_on(values[0][0], text[:end], text[end:], asked):
        return None
    return text[:end]


def goes_on(value: str, before: str, after: str, asked: Asked) -> bool:
    """Whether a text seems to compute something else from a number in it: another number ends `after`, that is new and
    not an operand, and no equation has the first one as its result."""
    number, last = NUMBER.search(value), last_match(NUMBER, after)
    if number is None or last is None or len(numbers_in(value)) > 1:
        return False
    if re.search(rf"=\s*\W?{re.escape(number[0])}(?!\d)", after):
        return False
    known = asked.given | numbers_in(before + after[: last.start()])
    return not numbers_in(last[0]) <= known and re.search(r"[-+*/×÷−]\s*\W?$", after[: last.start()]) is None


def until_emphasis(text: str) -> str:
    """`text` up to the only value in bold in its last sentence, if other numbers follow: `It needs **21 liters** for
    350 km`."""
    end = without_remarks(text)
    values = list(BOLD_VALUE.finditer(end, last_sentence_start(end)))
    if len(values) != 1:
        return text
    rest = end[values[0].end() :]
    if not re.search(r"[\d½]", rest) or CONCLUDES.search(rest) or VALUE_STATED.search(rest):
        return text
    return end[: values[0].end()]


def with_field_as_phrase(text: str) -> str:
    """A reply in JSON as its answer in words, `Answer: 5`; any other `text`, or one that states an answer later on,
    unchanged."""
    field = last_match(phrases.ANSWER_FIELD, text)
    if field is None:
        return text
    end = max(field.end(), text.find("}", field.end()))
    if phrases.ANSWER_PHRASE.search(text, end) or boxes_in(text[end:]):
        return text
    return "Answer: " + (field["number"] or field["text"].replace("\\\\", "\\"))


def answer_in(text: str, asked: Asked = NOTHING_ASKED) -> str | None:
    text = until_further_question(text)
    boxes = boxes_in(text)
    unclosed = None if boxes else unclosed_box(text)
    if unclosed is not None:
        return unclosed
    after_boxes = boxes[-1].end if boxes else 0
    announced = list(phrases.ANSWER_PHRASE.finditer(text, after_boxes))
    for phrase in reversed(announced):
        if phrases.RESULT_PHRASE.match(phrase[0]):
            continue
        stated = stated_by(text[phrase.end() :], phrase[0], strict=bool(boxes))
        if stated:
            return stated
    if boxes:
        content = joined_boxes(text, boxes)
        said = last_match(phrases.ANSWER_PHRASE, content)
        stated = None if said is None else stated_by(content[said.end() :].strip(" {}"), said[0], strict=True)
        return stated or content or None
    chosen = chosen_option(text) or verbal_answer(text) or asked_answer(text, asked)
    if chosen:
        return chosen
    text = RESIDUE.sub(r" \\pmod{\1}", without_remarks(text))
    return final_result(text, announced) or last_formula(text, asked)


def final_result(text: str, announced: list[re.Match[str]]) -> str | None:
    """What follows the last "result is", unless a later number makes it the result of one step only.

    `text` may be shorter than the text that has the announced ones.
    """
    phrase = next((phrase for phrase in reversed(announced) if phrases.RESULT_PHRASE.match(phrase[0])), None)
    if phrase is None or phrase.end() > len(text):
        return None
    rest = text[phrase.end() :].lstrip()
    if re.search(r"\d", rest[len(first_statement(rest)) :]):
        return None
    return stated_by(rest, phrase[0], strict=False)


def unclosed_box(text: str) -> str | None:
    """The content of a box that the text ends with although a brace in it is never closed."""
    box = last_match(BOX, text)
    bare = text.rstrip(AFTER_BOX)
    return bare[box.end() :].strip() or None if box is not None and bare.endswith("}") else None


def until_further_question(text: str) -> str:
    """`text` up to the question that follows its first stated answer (rule 2)."""
    for further in islice(phrases.FURTHER_QUESTION.finditer(text), MOST_QUESTIONS):
        before = text[: further.start()]
        if before.strip() and (boxes_in(before) or states_an_answer(before)):
            return before
    return text


def states_an_answer(text: str) -> bool:
    end = text[-2000:]
    announced = list(phrases.ANSWER_PHRASE.finditer(end))
    return any(stated_by(end[phrase.end() :], phrase[0], strict=True) for phrase in announced[-3:])


def stated_by(rest: str, phrase: str, strict: bool) -> str | None:
    """The answer that `rest`, the text after a phrase, begins with; None if it states none.

    `strict`: the text has a box already, so only what certainly is an answer may replace it.
    """
    statement = first_statement(rest)
    if not statement:
        return None
    ends = len(rest.strip()) == len(statement)
    if phrase.startswith("#") and not ends and HEADING.match(statement) and only_formulas(statement) is None:
        return None  # A Markdown heading: `#### Step 3`, `#### 1. Compute the sum`.
    if phrase.startswith("#") and re.match(r"\d{1,2}[.)]\s+\S", statement):
        return None
    if not strict or STARTS_WITH_ANSWER.match(statement):
        return whole_or_last(statement)
    ending = last_match(ENDS_WITH_ANSWER, statement)
    if ending is not None and STARTS_WITH_ANSWER.match(statement, ending.end()):
        return whole_or_last(statement)
    return None


def first_statement(text: str) -> str:
    """The first sentence of `text`; a formula may be on separate lines, otherwise a line ends the statement."""
    stripped = text.strip()
    if stripped.startswith(("$", "\\[", "\\(", "\\begin")):
        return stripped
    line = stripped.split("\n", 1)[0].strip()
    end = SENTENCE.search(MATH.sub(lambda match: "x" * len(match[0]), line))
    return line if end is None else line[: end.start() + 1]


def whole_or_last(statement: str) -> str | None:
    """The whole statement if it is only an answer, else the formula in it that is the answer."""
    statement = FULL_STOP.sub("", unwrapped(statement).strip().strip("*").strip()).strip()
    verdict = leading_verdict(statement)
    if verdict is not None:
        return verdict
    option = OPTION_MARK.match(statement)
    if option is not None and len(plain_words(MATH.sub(" ", statement))) > MOST_OPTION_WORDS:
        return option[0].strip(" (.):")
    begins = STARTS_WITH_ANSWER.match(statement) is not None
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
    reason = REASON.search(MATH.sub(lambda match: "x" * len(match[0]), statement))
    return statement if reason is None else statement[: reason.start()].rstrip(" ,;")


def only_formulas(text: str) -> str | None:
    """The math in a text that consists of formulas, separators and at most one word; else None."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    if len(words) > 1 or (words and not MATH.search(text) and len(outside) > 40):
        return None
    if phrases.OTHER_SCRIPT.search(outside) and (MATH.search(text) or re.search(r"\d", text)):
        return None
    return without_delimiters(text)


def stated_answer(text: str) -> Statement:
    """The answer to compare: `text` itself if it is a bare answer, else the result of `extract_answer`.

    A bare answer contains only formulas and one or two words; a sentence is not a bare answer.
    """
    text = without_inner_dollars(text)
    text = unwrapped((readable(text) or text).strip())
    if BOX.search(text):
        return Statement(answer_in(text) or text, guessed=False)
    if not is_prose(text):
        return Statement(without_delimiters(text), guessed=False)
    answer = answer_in(text)
    if answer is None:
        return Statement(text, guessed=False)
    return Statement(answer, guessed=phrases.ANSWER_PHRASE.search(text) is None)


def is_prose(text: str) -> bool:
    """Whether `text` consists of sentences with formulas, rather than one answer."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    before_number, *after_number = re.split(r"\d", outside, maxsplit=1)
    if phrases.ANSWER_PHRASE.search(outside) or STRUCTURED.match(text):
        return True
    if words and any(map(FURTHER_SENTENCE.search, after_number)) and OPTION_MARK.match(text) is None:
        return True
    if phrases.CONNECTIVE.match(outside) and (
        len(words) > 1 or MATH.search(text) or LATEX_COMMAND.search(outside) or after_number
    ):
        return True
    if after_number and len(phrases.OTHER_SCRIPT.findall(before_number)) > 1:
        return True  # Words in another script before a number make a sentence; after it, they are its unit.
    if WHOLE_SENTENCE.fullmatch(outside) and len(words) >= 3 and not QUALIFIED.search(outside):
        return True
    if SHORT_SENTENCE.match(outside) or (PRICE_IN_WORDS.match(outside) and not QUALIFIED.search(outside)):
        return True
    if LATEX_COMMAND.search(outside):
        # LaTeX without dollar signs has its words in \text{...}; a sentence has others.
        return len(words) >= FEWEST_WORDS - 1
    return bool(words) if MATH.search(text) else len(words) >= FEWEST_WORDS
