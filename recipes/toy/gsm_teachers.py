"""Programs for the gsm_symbolic templates that the bootstrap policy is taught.

A program is a list of (comment, code) lines; q0, q1, ... are the numbers of the question in order, other
words are the program's own variables. The last line's variable is the answer. `teachers.teach` runs each program on
each instance and keeps it only if the answer is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["GSM_PROGRAMS", "gsm_steps"]

Line = tuple[str, str]

GSM_PROGRAMS: dict[int, tuple[Line, ...]] = {
    1: (
        ("toys without the balls", "known = q0 + q1 + q2"),
        ("the balls are the rest", "balls = q3 - known"),
    ),
    3: (
        ("people still writing", "people = q0 - q1"),
        ("letters a week", "letters = people * q2"),
        ("pages a week", "pages = letters * q3"),
        ("minutes of writing", "minutes = pages * q4"),
        ("in hours", "hours = minutes / 60"),
    ),
    4: (
        ("how many can be decorated", "baked = q0 * q1"),
        ("how many fill one rack", "racks = baked / q2"),
    ),
    5: (
        ("signatures so far", "have = q1 + q2"),
        ("signatures still to collect", "need = q4 - have"),
    ),
    8: (
        ("the parts of the ratio", "parts = q0 + q1"),
        ("the share of the sugar", "sugar = q2 * q0 / parts"),
    ),
    9: (
        ("the money at first", "money = q0 * q1"),
        ("cost of the first items", "first = q2 * q3"),
        ("cost of the packs", "packs = q4 * q5"),
        ("money left", "left = money - first - packs"),
    ),
    12: (
        ("time for the first kind", "first = q0 * q2"),
        ("time for the second kind", "second = q1 * q3"),
        ("time together", "total = first + second"),
    ),
    16: (
        ("friends of the one compared with", "base = q2 / q0"),
        ("friends asked for", "friends = base * q1"),
    ),
    18: (
        ("points by percent", "part = q0 * q2 / 100"),
        ("points of the second player", "second = part + q1"),
        ("points of both", "total = q0 + second"),
    ),
    19: (
        ("popped second", "second = q0 * q2"),
        ("popped third", "third = q0 * q4"),
        ("popped last, half of that", "last = third / 2"),
        ("popped after, a quarter", "after = last / 4"),
        ("all together", "total = q0 + second + third + last + after"),
    ),
    20: (
        ("how many fit", "fit = q0 * q2"),
        ("how many are left over", "left = q1 - fit"),
    ),
    21: (
        ("how many plants fit", "plants = q0 / q1"),
        ("plants to buy", "buy = plants - q2"),
        ("what they cost", "cost = buy * q3"),
    ),
    22: (
        ("the brokerage fee", "fee = q1 * q2 / 100"),
        ("the transfer fee", "transfer = q1 * q3 / 100"),
        ("the total price", "price = q1 + fee + transfer"),
        ("above the budget", "more = price - q0"),
    ),
    23: (
        ("the income lost", "lost = q0 * q1"),
        ("less the charge", "saved = lost - q2"),
    ),
    24: (
        ("age at the second time", "second = q1 * q2"),
        ("age at the first time", "first = second - q0"),
    ),
    25: (
        ("calories left", "left = q3 - q4"),
        ("servings that fit", "servings = left / q0"),
        ("the size of a serving", "size = q1 / q2"),
        ("how much to eat", "amount = servings * size"),
    ),
    27: (
        ("apartments in the first ones", "first = q1 * q2"),
        ("how many more the last one has", "more = first * q3 / 100"),
        ("apartments in the last one", "last = first + more"),
        ("all apartments", "homes = first + last"),
        ("collections a week", "visits = homes * q5"),
        ("the pay", "money = visits * q6"),
    ),
    29: (
        ("all puppies", "total = q0 + q2"),
        ("puppies with spots", "spots = q1 + q3"),
        ("as a percentage", "percent = spots * 100 / total"),
    ),
    31: (
        ("what the friend ate", "friend = q1 + q2"),
        ("what the sister ate", "sister = friend + q3"),
        ("all together", "total = q1 + friend + sister"),
    ),
    33: (
        ("what the faster one does", "fast = q1 * q0"),
        ("both in a day", "day = fast + q1"),
        ("in a week", "week = day * 7"),
    ),
    36: (
        ("questions of the first kind", "first = q0 * q1 / 100"),
        ("the other questions", "other = q0 - first"),
        ("sure of the first kind", "sure = first * q2 / 100"),
        ("half of the others", "half = other / 2"),
        ("all points", "points = sure + half"),
    ),
    38: (
        ("wool for one child", "outfit = q1 + q2 + q3 + q4 + q5"),
        ("wool for all", "wool = q0 * outfit"),
    ),
    40: (
        ("how many more", "more = q0 * q1 / 100"),
        ("cards of the second color", "second = q0 + more"),
        ("cards of the third color", "third = q0 + second"),
        ("all cards", "total = q0 + second + third"),
    ),
    42: (
        ("the first fees", "fees = q0 * q1 / 100"),
        ("the realtor fee", "realtor = q0 * q2 / 100"),
        ("everything paid", "paid = fees + realtor + q3"),
        ("the net proceeds", "net = q0 - paid"),
    ),
    45: (
        ("forks before using some", "forks = q2 + q1"),
        ("less the gift", "bought = forks - q0"),
    ),
    47: (
        ("cost of the first items", "first = q0 * q1"),
        ("cost of the second items", "second = q2 * q3"),
        ("cost of everything", "total = first + second + q4"),
    ),
    48: (
        ("cost of the loaves", "loaves = q2 * q0"),
        ("cost of the others", "others = q3 * q1"),
        ("the difference", "more = loaves - others"),
    ),
    50: (
        ("half of the first puzzle", "half = q0 / 2"),
        ("pieces of both", "pieces = half + q1"),
    ),
    54: (
        ("minutes left at the first place", "first = q0 - q1"),
        ("minutes left at the second place", "left = first - q2"),
    ),
    55: (
        ("half as many", "half = q0 / 2"),
        ("all insects", "total = half + q0"),
    ),
    57: (
        ("twice as many", "twice = q0 * 2"),
        ("boys and girls", "third = q1 + q2"),
        ("all students", "total = q0 + twice + third"),
    ),
    60: (
        ("blocks a minute on the first part", "rate = q1 / q3"),
        ("twice as fast", "fast = rate * 2"),
        ("minutes on the second part", "minutes = q2 / fast"),
        ("minutes in all", "total = q3 + minutes"),
    ),
    62: (
        ("servings of the other one", "other = q1 * q2"),
        ("servings a day", "day = q1 + other"),
        ("how many days", "days = q0 / day"),
    ),
    64: (
        ("eaten at first", "first = q0 * q1"),
        ("eaten later", "later = q2 * q3"),
        ("all together", "total = first + later"),
        ("in dozens", "dozens = total / 12"),
    ),
    72: (
        ("blocks of the second color", "second = q0 * q1"),
        ("blocks of the third color", "third = q2 - q0 - second"),
    ),
    73: (
        ("boxes on the second day", "second = q0 + q2"),
        ("boxes of the first kind", "boxes = q0 + second"),
        ("pies on the first day", "friday = q3 - q1"),
        ("boxes of pie", "pies = friday + q3"),
        ("earned with the first kind", "first = boxes * q4"),
        ("earned with pies", "earned = pies * q5"),
        ("earned in all", "total = first + earned"),
    ),
    85: (
        ("the width", "width = q0 / q1"),
        ("half the perimeter", "half = width + q1"),
        ("the perimeter", "perimeter = half * 2"),
    ),
    89: (
        ("hidden in all", "hidden = q0 * 12"),
        ("found by the second", "second = q1 * q2"),
        ("found by the third", "third = second - q3"),
        ("found by the fourth", "fourth = third * q4"),
        ("found together", "found = q1 + second + third + fourth"),
        ("still hidden", "left = hidden - found"),
    ),
    91: (
        ("one harvest", "crop = q0 * q1"),
        ("harvests a year", "times = 12 / q2"),
        ("in a year", "total = crop * times"),
    ),
    93: (
        ("slain by the second", "second = q0 * q1"),
        ("slain by the third", "third = second * q2"),
        ("slain by the last", "last = third * q3"),
    ),
    94: (
        ("what the shares cost", "value = q0 * q1"),
        ("the increase", "gain = value * q2 / 100"),
        ("after the first year", "first = value + gain"),
        ("the decrease", "loss = first * q3 / 100"),
        ("after the second year", "final = first - loss"),
    ),
    95: (
        ("eaten in a day", "day = q0 + q1 + q2"),
        ("eaten in a week", "week = day * 7"),
    ),
    96: (
        ("what one of the second kind needs", "each = q0 * 2 - q1"),
        ("the second kind together", "second = each * q3"),
        ("the first kind together", "first = q0 * q2"),
        ("all together", "total = first + second"),
    ),
}
"""One program per template number; every template of the group `taught` has one."""

GSM_VARIANTS: dict[int, tuple[str, tuple[Line, ...]]] = {
    85: (
        "yards",
        (
            ("the length in feet", "length = q1 * 3"),
            ("the width", "width = q0 / length"),
            ("half the perimeter", "half = width + length"),
            ("the perimeter", "perimeter = half * 2"),
        ),
    ),
    95: (
        "month",
        (
            ("eaten in a day", "day = q0 + q1 + q2"),
            ("eaten in a month", "month = day * 30"),
        ),
    ),
}
"""Other programs for instances whose question contains a certain word."""


def gsm_steps(template: int, question: str, names: Sequence[str]) -> list[str] | None:
    """The steps for one instance of a template, whose numbers have these names; None if they do not fit."""
    program = GSM_PROGRAMS.get(template)
    word, variant = GSM_VARIANTS.get(template, ("", None))
    if variant is not None and word in question:
        program = variant
    if program is None:
        return None
    used = {int(index) for _, code in program for index in re.findall(r"\bq(\d+)\b", code)}
    if max(used) >= len(names):
        return None

    def named(code: str) -> str:
        return re.sub(r"\bq(\d+)\b", lambda match: names[int(match.group(1))], code)

    steps = [f"# Step {index}: {comment}\n{named(code)}" for index, (comment, code) in enumerate(program, start=1)]
    answer = program[-1][1].partition(" = ")[0]
    return [*steps, f"# Now print the final answer\nprint({answer})"]
