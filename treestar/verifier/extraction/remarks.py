"""Takes from the end of a reply what stands after its answer: offers, checks, remarks on the method, subordinate
clauses.

Offers answer nothing in any reply; the others are taken only where a reply does not state which formula is its answer,
so that the last one counts.
"""

from __future__ import annotations

import re
from itertools import accumulate

from treestar.verifier.extraction.phrases import last_match
from treestar.verifier.extraction.wording import SO, any_of, worded

__all__ = ["CONCLUSION", "CONFIRMS", "last_sentence_start", "without_offers", "without_remarks"]

LONGEST_END = 2000
"""In characters: only the end of a longer text is read, because remarks are short."""
MOST_REMARKS = 5

SENTENCE_START = re.compile(r"(?:^|(?<=[.!?]\s)|(?<=\n))\s*(?=\S)")
FORMULA = re.compile(r"[\d$]|\\[a-zA-Z(\[]")
STATEMENT = re.compile(r"\\boxed|####|<answer>", re.IGNORECASE)

# Sentences to the user.
HELP = r"(?:explain|show|help|walk|go|provide|give|try|break|check|verify|elaborate|clarify|solve|do|also)\b"
GLAD = r"I(?:'(?:d|m|ll)| (?:would|am|will)) (?:be )?(?:happy|glad)"
OFFERED = rf"(?:I (?:can|could|will) {HELP}|{GLAD}\b|let me know\b|feel free\b|just (?:ask|say|tell)\b)"
ASKED = any_of(
    r"(?:would|do|did) you (?:like|want|need|prefer|wish|have|see|understand|follow|think)",  # Would you like more?
    r"(?:what|which|how)\b[^?\n]*?\s(?:would|do) you (?:like|want|need|prefer|think)",  # Which way do you want?
    r"(?:could|can|will|would) you (?:please )?(?:tell|confirm|clarify|provide|check|explain|share|try|solve|see)",
    rf"(?:could|can|may|should|shall) I {HELP}|want me to|need (?:me|any|more)",  # Shall I explain? Need more help?
    r"(?:is|are) there any(?:thing)?|(?:any|do you have) (?:other |more |further )?questions",  # Any questions?
    r"(?:do|does|did|is|are) (?:this|that|it|these|everything|(?:the|my|step) \w+)\b[^?\n]*?\b"
    r"(?:sense|help|clear|for you|your)",  # Does step 2 make sense?
)
OFFER = worded(
    r"[\s*_#>-]*"
    + any_of(
        r"(?:please |just |so |and )*(?:let me know|feel free to|(?:don't|do not) hesitate to)\b",  # Let me know if ...
        r"I hope (?:this|that|it) (?:helps?|clarif\w+|makes? sense)\b",  # I hope this helps!
        rf"{GLAD} to\b",  # I'd be happy to explain.
        rf"if you(?:'\w+)?\s[^?\n]*?\b{OFFERED}",  # If you'd like, I can show another way.
        rf"{ASKED}\b[^?\n]*\?",
    )
)
"""A sentence to the user: an offer to help further, or a question whether the reply did."""
RULED_OFF = re.compile(r"\n[\s*_-]*\Z")
"""The line between a reply and an offer."""

# Checks, and remarks on the method or beside the point.
CHECK = worded(
    r"[\s*_#>-]*(?:(?:(?:let me|let's|let us|(?:we|you|I) can|to|I will|I'll) )?(?:also |now |quickly )*"
    r"(?:double[-\x20]?)?(?:check|verify)(?:ing)?(?: (?:the|this|our|my|your) (?:answer|result|solution|work))?"
    r"|verification|proof(?=[*_]*:)|(?:as a |sanity |quick )+check)\b"
)
"""Let's double-check the answer: ..., As a quick check, ..., Proof: ..."""
HEADS = re.compile(r"[^\d.\n]*\n")
"""After the words of a check that is the heading of what follows."""
CONFIRMS = worded(
    r"\b(?:match(?:es)?|correct|right|holds?|checks out|consistent|satisf\w+|true|works|expected|required|given)\b"
)
DOUBT = worded(
    r"\b(?:wait|wrong|incorrect|mistake\w*|error|instead|not|no|doesn't|isn't|but|however|actually"
    rf"|{SO}|answer|result|total|final\w*|find|get|obtain|see)\b"
)
"""What makes a check more than a check."""
CONCLUSION = worded(rf"\b(?:{SO}|answer|result|total|final\w*|we (?:get|find|obtain|have|see))\b")
REMARK = worded(
    r"[\s*_#]*(?:explanation\W+)?"
    + any_of(
        r"(?:I|we) (?:have |also |only )?(?:used|use|verified|checked|double-checked|confirmed|applied|tested|tried"
        r"|rounded|followed|took|needed)\b[^\n]*\b(?:methods?|steps?|approach(?:es)?|formulas?|equations?|theorems?|rules?"
        r"|techniques?|strateg\w+|digits|decimal places|decimals|lines|times|checks?|examples?)\b",  # I used 3 methods.
        r"(?:the|this|my|our) (?:method|solution|calculation|computation|process|problem|derivation|proof|approach) "
        r"(?:takes|took|uses|used|needs|needed|has|had|required?s?|involve[sd]?)\b",  # The solution has 3 steps.
        r"(?:(?:the|this|my) (?:code|program|script|function|loop)|this) (?:adds|counts|computes|calculates|checks"
        r"|loops|iterates|uses|defines|finds|sums|divides)\b"  # The code adds the numbers and divides by 3.
        r"(?![^\n]*(?:=|\bis\b|\bto be\b))(?! \W?\d)",
    )
)
"""A sentence about the way to the answer."""
ASIDE = worded(
    r"[\s*_#]*(?:(?:as a )?(?:side )?(?:note|remark)|notice|recall|observe|for (?:your information|confirmation|example"
    r"|instance)|you can (?:also )?see (?:this|that|it|why))\b"
)
"""A sentence that adds to what has been said."""
IN_BRACKETS = re.compile(r"\((?=[A-Z\d$€£][^()\n]*\s[a-z])")

# Clauses that only say when or why a sentence holds.
BEGINS_WITH_CLAUSE = worded(
    r"[\s*_]*(?:(?:so|thus)\s*,?\s*|and )?"
    r"(?:when|if|since|because|as|after|before|while|given|with|for|at|in|on|from|by)\b"
)
CLAUSE = worded(
    r"(?<=[\w$)\]}%])"
    + any_of(
        r",? (?:when|if|since|because|where|after|before|given(?: that)?|provided(?: that)?"  # 5 when y = 3
        r"|(?:which (?:is|are) )?(?:attained|achieved|reached|obtained) (?:at|when|for|if))\s",  # 5, attained at x = 2
        r",? (?:at|for) (?=\\?[$(]?\s?(?:[a-z]|\\[a-z]+)\s?=)",  # 5 at x = 2
        r" \((?:since|because|when|if|for|where|attained|at)\s",  # 5 (since y = 3)
    )
    + r"(?P<rest>[^,\n]*)$"
)
CONTRAST = worded(
    r"(?<=[\w%)])(?:"
    r",? (?:instead of|rather than|as opposed to|compared (?:to|with)|(?:up|down) from)\s"  # 60 instead of 80
    r"|, from (?=\S+ to \S+$)"  # 12.5%, from $80 to $90
    r"| \((?!(?:and|or)\b)(?![^()]*(?:=|\b(?:mod|modulo|base|binary|octal|hex\w*|gives?|makes?)\b))"
    r"(?=[^()]*(?<![\\\w.])[^\W\d_]{3,}(?![\w{(])[^()]*$))(?P<rest>(?:[^,\n]|,(?=\d))*)$"  # 17 days (16 full ones)
)
"""A contrast, or words in brackets, after a value."""
PAID = worded(r"(?<=\d) for (?:(?:the|his|her|their|all|these|those|its) )*\d+ [a-z]+[^\d,=$]*$")
MONEY_LAST = re.compile(r"\$\s?[\d,]*\.?\d+$")
"""Before what is paid for: "$64 for 16 glasses"."""
DURATION = worded(r"(?<=[\d$])(?P<unit> (?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)) to [a-z]+\s[^,=]*$")
TAKES = worded(r"\b(?:takes?|took|needs?|requires?)\b")
"""Before a duration: "takes him 11 hours to drive 500 miles"."""
WHY = worded(rf"\W*(?:since|because)\s(?!.*\b{SO}\b)")
ENDS_IN_VALUE = worded(r"\b(?:is|are|equals?|has|have) \W*\d[\d.,/]*(?:\s[a-z]+)?$")
CONCLUDES = worded(
    rf"(?!^)\b(?:total|{SO}|makes|giving|gives|leaving|leaves|then"
    r"|(?:he|she|it|they|we|you|I) (?:has|have|keeps?|gets?)(?= \W?\d))\b|=[^=]*="
)
"""In a clause: it states a value of its own."""
PREDICATE = worded(r"\b(?:is|are|was|were|be|equals?|becomes?)\b")
CLAUSE_START = worded(rf"[,;:]|\b(?:and|but|{SO}|that|which)\b")
BARE_AMOUNT = re.compile(r"\W*\d[\d.,/:]*(?:\s+[^\W\d_]+){0,2}\s*")
VALUE = re.compile(r"\d|\\[a-zA-Z]")
STATES = worded(rf"{PREDICATE.pattern}|=|\b(?:has|have|had|costs?|takes?|gets?|needs?|left)\b|^\W*[\d\\]")
"""In what stands before a clause: it states something already, so that a predicate after it is the clause's own."""


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
