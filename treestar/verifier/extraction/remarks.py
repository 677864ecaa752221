"""Takes from the end of a reply what stands after its answer: offers, checks, remarks on the method, subordinate
clauses.

Offers answer nothing in any reply; the others are taken only where a reply does not state which formula is its answer,
so that the last one counts.
"""

from __future__ import annotations

import re
from itertools import accumulate

from treestar.verifier.extraction.phrases import last_match

__all__ = ["CONCLUSION", "CONFIRMS", "last_sentence_start", "without_offers", "without_remarks"]

LONGEST_END = 2000
"""In characters: only the end of a longer text is read, because remarks are short."""
MOST_REMARKS = 5

SENTENCE_START = re.compile(r"(?:^|(?<=[.!?]\s)|(?<=\n))\s*(?=\S)")
CHECK = re.compile(
    r"[\s*_#>-]*(?:(?:(?:let\s+me|let['’]s|let\s+us|(?:we|you|I)\s+can|to|I\s+will|I['’]ll)\s+)?(?:also\s+|now\s+|quickly\s+)*"
    r"(?:double[- ]?)?(?:check|verify)(?:ing)?(?:\s+(?:the|this|our|my|your)\s+(?:answer|result|solution|work))?"
    r"|verification|proof(?=[*_]*:)|(?:as\s+a\s+|sanity\s+|quick\s+)+check)\b",
    re.IGNORECASE,
)
HEADS = re.compile(r"[^\d.\n]*\n")
"""After the words of a check that is the heading of what follows."""
REMARK = re.compile(
    r"[\s*_#]*(?:explanation\W+)?(?:(?:I|we)\s+(?:have\s+|also\s+|only\s+)?(?:used|use|verified|checked|double-checked|confirmed|applied|tested|tried"
    r"|rounded|followed|took|needed)\b[^\n]*\b(?:methods?|steps?|approach(?:es)?|formulas?|equations?|theorems?|rules?"
    r"|techniques?|strateg\w+|digits|decimal\s+places|decimals|lines|times|checks?|examples?)\b"
    r"|(?:the|this|my|our)\s+(?:method|solution|calculation|computation|process|problem|derivation|proof|approach)\s+"
    r"(?:takes|took|uses|used|needs|needed|has|had|required?s?|involve[sd]?)\b"
    r"|(?:(?:the|this|my)\s+(?:code|program|script|function|loop)|this)\s+(?:adds|counts|computes|calculates|checks|loops|iterates"
    r"|uses|defines|finds|sums|divides)\b(?![^\n]*(?:=|\bis\b|\bto\s+be\b))(?!\s+\W?\d))",
    re.IGNORECASE,
)
"""A sentence about the way to the answer."""
ASIDE = re.compile(
    r"[\s*_#]*(?:(?:as\s+a\s+)?(?:side\s+)?(?:note|remark)|notice|recall|observe|for\s+(?:your\s+information|confirmation|example|instance)|you\s+can\s+(?:also\s+)?see\s+(?:this|that|it|why))\b",
    re.IGNORECASE,
)
"""A sentence that adds to what has been said."""
HELP = r"(?:explain|show|help|walk|go|provide|give|try|break|check|verify|elaborate|clarify|solve|do|also)\b"
OFFER = re.compile(
    r"[\s*_#>-]*(?:"
    r"(?:please\s+|just\s+|so\s+|and\s+)*(?:let\s+me\s+know|feel\s+free\s+to|(?:don['’]t|do\s+not)\s+hesitate\s+to)\b"
    r"|I\s+hope\s+(?:this|that|it)\s+(?:helps?|clarif\w+|makes?\s+sense)\b"
    r"|I(?:['’](?:d|m|ll)|\s+(?:would|am|will))\s+(?:be\s+)?(?:happy|glad)\s+to\b"
    r"|if\s+you(?:['’]\w+)?\s[^?\n]*?\b(?:I\s+(?:can|could|will)\s+"
    + HELP
    + r"|I(?:['’](?:d|m|ll)|\s+(?:would|am|will))\s+"
    r"(?:be\s+)?(?:happy|glad)\b|let\s+me\s+know\b|feel\s+free\b|just\s+(?:ask|say|tell)\b)"
    r"|(?:(?:would|do|did)\s+you\s+(?:like|want|need|prefer|wish|have|see|understand|follow|think)"
    r"|(?:what|which|how)\b[^?\n]*?\s(?:would|do)\s+you\s+(?:like|want|need|prefer|think)"
    r"|(?:could|can|will|would)\s+you\s+(?:please\s+)?(?:tell|confirm|clarify|provide|check|explain|share|try|solve|see)"
    r"|(?:could|can|may|should|shall)\s+I\s+" + HELP + r"|want\s+me\s+to|need\s+(?:me|any|more)"
    r"|(?:is|are)\s+there\s+any(?:thing)?|(?:any|do\s+you\s+have)\s+(?:other\s+|more\s+|further\s+)?questions"
    r"|(?:do|does|did|is|are)\s+(?:this|that|it|these|everything|(?:the|my|step)\s+\w+)\b[^?\n]*?\b(?:sense|help|clear|for\s+you|your)"
    r")\b[^?\n]*\?"
    r")",
    re.IGNORECASE,
)
"""A sentence to the user: an offer to help further, or a question whether the reply did."""
RULED_OFF = re.compile(r"\n[\s*_-]*\Z")
"""The line between a reply and an offer."""
STATEMENT = re.compile(r"\\boxed|####|<answer>", re.IGNORECASE)
IN_BRACKETS = re.compile(r"\((?=[A-Z\d$€£][^()\n]*\s[a-z])")
CONFIRMS = re.compile(
    r"\b(?:match(?:es)?|correct|right|holds?|checks\s+out|consistent|satisf\w+|true|works|expected|required|given)\b",
    re.IGNORECASE,
)
DOUBT = re.compile(
    r"\b(?:wait|wrong|incorrect|mistake\w*|error|instead|not|no|doesn't|isn't|but|however|actually|so|therefore|thus|hence"
    r"|answer|result|total|final\w*|find|get|obtain|see)\b",
    re.IGNORECASE,
)
"""What makes a check more than a check."""
CONCLUSION = re.compile(
    r"\b(?:so|therefore|thus|hence|answer|result|total|final\w*|we\s+(?:get|find|obtain|have|see))\b", re.IGNORECASE
)

BEGINS_WITH_CLAUSE = re.compile(
    r"[\s*_]*(?:so\s*,?\s*|thus\s*,?\s*|and\s+)?(?:when|if|since|because|as|after|before|while|given|with|for|at|in|on|from|by)\b",
    re.IGNORECASE,
)
CLAUSE = re.compile(
    r"(?<=[\w$)\]}%])(?:,?\s+(?:when|if|since|because|where|after|before|given(?:\s+that)?|provided(?:\s+that)?"
    r"|(?:which\s+(?:is|are)\s+)?(?:attained|achieved|reached|obtained)\s+(?:at|when|for|if))\s"
    r"|,?\s+(?:at|for)\s+(?=\\?[$(]?\s?(?:[a-z]|\\[a-z]+)\s?=)"
    r"|\s+\((?:since|because|when|if|for|where|attained|at)\s)(?P<rest>[^,\n]*)$",
    re.IGNORECASE,
)
WHY = re.compile(r"\W*(?:since|because)\s(?!.*\b(?:so|thus|therefore|hence)\b)", re.IGNORECASE)
ENDS_IN_VALUE = re.compile(r"\b(?:is|are|equals?|has|have)\s+\W*\d[\d.,/]*(?:\s[a-z]+)?$", re.IGNORECASE)
CONTRAST = re.compile(
    r"(?<=[\w%)])(?:,?\s+(?:instead\s+of|rather\s+than|as\s+opposed\s+to|compared\s+(?:to|with)|(?:up|down)\s+from)\s"
    r"|,\s+from\s+(?=\S+\s+to\s+\S+$)|\s+\((?!(?:and|or)\b)(?![^()]*(?:=|\b(?:mod|modulo|base|binary|octal|hex\w*|gives?|makes?)\b))"
    r"(?=[^()]*(?<![\\\w.])[^\W\d_]{3,}(?![\w{(])[^()]*$))(?P<rest>(?:[^,\n]|,(?=\d))*)$",
    re.IGNORECASE,
)
"""A contrast, or words in brackets, after a value: `60` of "60 instead of 80", `17` of "17 days (16 full ones)"."""
PAID = re.compile(
    r"(?<=\d)\s+for\s+(?:(?:the|his|her|their|all|these|those|its)\s+)*\d+\s+[a-z]+[^\d,=$]*$", re.IGNORECASE
)
MONEY_LAST = re.compile(r"\$\s?[\d,]*\.?\d+$")
DURATION = re.compile(
    r"(?<=[\d$])(?P<unit>\s+(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?))\s+to\s+[a-z]+\s[^,=]*$",
    re.IGNORECASE,
)
TAKES = re.compile(r"\b(?:takes?|took|needs?|requires?)\b", re.IGNORECASE)
CONCLUDES = re.compile(
    r"(?!^)\b(?:total|so|thus|therefore|hence|makes|giving|gives|leaving|leaves|then|(?:he|she|it|they|we|you|I)\s+(?:has|have|keeps?|gets?)(?=\s+\W?\d))\b|=[^=]*=",
    re.IGNORECASE,
)
"""In a clause: it states a value of its own."""
PREDICATE = re.compile(r"\b(?:is|are|was|were|be|equals?|becomes?)\b", re.IGNORECASE)
CLAUSE_START = re.compile(r"[,;:]|\b(?:and|but|so|thus|hence|therefore|that|which)\b", re.IGNORECASE)
BARE_AMOUNT = re.compile(r"\W*\d[\d.,/:]*(?:\s+[^\W\d_]+){0,2}\s*")
VALUE = re.compile(r"\d|\\[a-zA-Z]")
STATES = re.compile(
    rf"{PREDICATE.pattern}|=|\b(?:has|have|had|costs?|takes?|gets?|needs?|left)\b|^\W*[\d\\]", re.IGNORECASE
)
"""In what stands before a clause: it states something already, so that a predicate after it is the clause's own."""
FORMULA = re.compile(r"[\d$]|\\[a-zA-Z(\[]")


def without_offers(text: str) -> str:
    """`text` without the offers and questions to the user that it ends with; "" if it has nothing else."""
    end = text.rstrip()
    for _ in range(MOST_REMARKS):
        start = last_sentence_start(end)
        if OFFER.match(end, start) is None or STATEMENT.search(end, start) is not None:
            break
        end = RULED_OFF.sub("", end[:start]).rstrip()
    return text if len(end) == len(text.rstrip()) else end


def without_remarks(text: str) -> str:
    """`text` up to its last statement: without checks and remarks after it, and without a clause that only says when or
    why the statement holds."""
    first_formula = FORMULA.search(text)
    if first_formula is None:
        return text
    end = text.rstrip()
    for _ in range(MOST_REMARKS):
        shorter = without_last_remark(end, first_formula.end())
        if shorter == end:
            break
        end = shorter
    return without_clause(end)


def sentence_starts(text: str) -> list[int]:
    """Where the sentences and lines at the end of `text` begin, after what is too far from it to be read."""
    first = max(0, len(text) - LONGEST_END)
    return [first, *(match.end() for match in SENTENCE_START.finditer(text, first))]


def last_sentence_start(text: str) -> int:
    """Where the last sentence or line of `text` begins."""
    return sentence_starts(text)[-1]


def without_last_remark(text: str, needed: int) -> str:
    """`text` without its last check or remark, but at least its first `needed` characters."""
    starts = [start for start in sentence_starts(text) if start >= needed]
    for start in starts:
        check = CHECK.match(text, start)
        if check is None or DOUBT.search(text, check.end()) is not None:
            continue
        if start == starts[-1] or CONFIRMS.search(text, start) is not None or HEADS.match(text, check.end()):
            return text[:start].rstrip()
    if starts and (
        REMARK.match(text, starts[-1]) or (ASIDE.match(text, starts[-1]) and not CONCLUSION.search(text, starts[-1]))
    ):
        return text[: starts[-1]].rstrip()
    return text[: aside_start(text, starts)].rstrip()


def aside_start(text: str, starts: list[int]) -> int:
    """Where the sentences begin that `text` ends with and that are in brackets together; its end if there are none."""
    end = len(text.rstrip(" .*_"))
    if not text.startswith(")", end - 1):
        return len(text)
    opened = [start for start in starts if IN_BRACKETS.match(text, start)]
    return next((start for start in reversed(opened) if is_one_bracket(text[start:end])), len(text))


def is_one_bracket(text: str) -> bool:
    """Whether the first bracket of `text` is closed by its last one."""
    depths = list(accumulate((character == "(") - (character == ")") for character in text))
    return depths[-1] == 0 and 0 not in depths[:-1]


def without_clause(text: str) -> str:
    """`text` without the clause at the end of its last sentence: `x is 5` of "x is 5 when y is 3"."""
    start = last_sentence_start(text)
    sentence = text[start:].rstrip(" .*)")
    contrast = CONTRAST.search(sentence)
    if contrast is not None and FORMULA.search(sentence, 0, contrast.start()) and FORMULA.search(contrast["rest"]):
        return text[:start] + sentence[: contrast.start()]
    if BEGINS_WITH_CLAUSE.match(sentence):
        return text
    for pattern in (CLAUSE, PAID, DURATION):
        clause = pattern.search(sentence)
        if clause is None:
            continue
        head = sentence[: clause.start()]
        if FORMULA.search(head) is None or FORMULA.search(clause[0]) is None:
            continue
        reason = WHY.match(clause[0]) is not None and ENDS_IN_VALUE.search(head) is not None
        if pattern is CLAUSE and not reason and (CONCLUDES.search(clause["rest"]) or continues(head, clause["rest"])):
            continue
        if (pattern is PAID and not MONEY_LAST.search(head)) or (pattern is DURATION and not TAKES.search(head)):
            continue
        return text[:start] + head + (clause["unit"] if pattern is DURATION else "")
    return text


def continues(head: str, rest: str) -> bool:
    """Whether the sentence that began with `head` gets its predicate or its value only in or after the clause `rest`:
    "The maximum of x + y when y > 0 is 8", "A is largest for k = 16". A clause has one predicate of its own at most."""
    begun = CLAUSE_START.split(head)[-1]
    predicates = len(PREDICATE.findall(rest))
    if predicates and BARE_AMOUNT.fullmatch(begun):
        return True  # 90 minutes before noon is 10:30 AM
    if predicates > 1 or (predicates == 1 and STATES.search(begun) is None):
        return True
    predicate = last_match(PREDICATE, begun)
    return predicate is not None and VALUE.search(begun, predicate.end()) is None
