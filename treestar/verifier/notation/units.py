"""Units after a number: recognition, equality, and conversion."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Unit", "known_unit", "read_compound", "read_unit", "split_glued_unit", "split_letter_unit"]


class Unit(NamedTuple):
    """A unit's dimension and its size in the dimension's base unit."""

    dimension: str
    factor: Fraction


SIZES = {
    "length": {
        "mm millimeter millimetre": "1/1000", "cm centimeter centimetre": "1/100", "dm decimeter": "1/10",
        "m meter metre": "1", "km kilometer kilometre": "1000", "in inch inche": "127/5000",
        "ft foot feet": "381/1250", "yd yard": "1143/1250", "mi mile": "201168/125",
    },
    "mass": {
        "mg milligram": "1/1000000", "g gram gm": "1/1000", "kg kilogram": "1", "ton tonne": "1000",
        "oz ounce": "45359237/1600000000", "lb lbs pound": "45359237/100000000",
    },
    "time": {
        "ms millisecond": "1/1000", "s sec second": "1", "min minute": "60", "h hr hour": "3600",
        "day": "86400", "week wk": "604800",
    },
    "months": {"month": "1", "year yr": "12"},
    "volume": {"ml milliliter": "1/1000", "l liter litre": "1", "gal gallon": "473176473/125000000"},
    "dollars": {"cent": "1/100", "dollar usd buck": "1"},
    "euros": {"euro eur": "1"},
    "pounds": {"gbp": "1"},
    "yen": {"yen jpy": "1"},
    "yuan": {"yuan rmb cny": "1"},
    "rupees": {"rupee rs inr": "1"},
    "force": {"n newton": "1"},
    "power": {"w watt": "1", "kw kilowatt": "1000"},
    "energy": {"j joule": "1", "kj kilojoule": "1000", "ev": "1/10000000000000000000"},
    "pressure": {"pa pascal": "1", "kpa": "1000", "atm": "101325"},
    "frequency": {"hz hertz": "1", "khz": "1000"},
    "voltage": {"v volt": "1"},
    "current": {"amp ampere": "1"},
    "amount": {"mol mole": "1"},
    "angle": {"rad radian": "1"},
    "speed": {"mph": "201168/450000", "kmh kmph kph": "5/18"},
    "temperature": {"^{\\circ}c celsius": "1"},
    "fahrenheit": {"^{\\circ}f fahrenheit": "1"},
}  # fmt: skip
"""For each dimension, the spellings of its units and their sizes."""
UNITS = {
    name: Unit(dimension, Fraction(size))
    for dimension, sizes in SIZES.items()
    for names, size in sizes.items()
    for name in names.split()
}

CURRENCY = {"$": "dollar", "€": "euro", "£": "gbp", "¥": "yen", "₹": "rupee", "₩": "won", "₽": "rouble"}
CHANGES_MEANING = re.compile(
    r"\b(?:not|no|none|less|more|least|most|otherwise|if|when|where|for|except|than|only|every|all|each of|base|mod|"
    r"to|is|are|integers?|multiples?(?=\s+of)|primes?|real|complex|imaginary|million|billion|thousand|hundred|dozen|"
    r"plus|minus|times(?=\s+(?!as\b)\w)|half|halves|thirds|squared|cubed|factorial)\b",
    re.IGNORECASE,
)
"""Words after a number that are not units, because they change the meaning of the answer."""
POWER = r"(?:\s*\^\{-?\d\})?"
UPRIGHT = rf"\\text\{{[^{{}}]*\}}{POWER}"
BARE = rf"[A-Za-zÀ-ÿ]{{2,}}\.?{POWER}"
TRAILING_UNIT = re.compile(
    rf"(?P<value>.*\S)\s*(?P<upright>{UPRIGHT}(?:(?:\s*(?:/|\\cdot|per)\s*|\s*){UPRIGHT})*)"
    r"|(?P<amount>.*[\d})!|])\s*(?P<bare>"
    rf"{BARE}(?:(?:\s*/\s*|\s+){BARE})*"
    rf"|(?<=\s)[A-Za-z]{{1,3}}\s*/\s*[A-Za-z]{{1,3}}{POWER}"
    r"|\^\{\\circ\}\s*(?:\\text\{\s*[CF]\s*\}|[CF])"
    r")",
    re.DOTALL,
)


def split_currency(text: str) -> tuple[str, str]:
    """The amount and the currency of `\\$12.50` or `€18`; without a currency, `text` is unchanged."""
    match = re.match(r"(-?)\s*(?:\\(?=\$)|\\text\{)?\s*(Rs\.?|USD|[A-Z]{0,3}\\?\$|[€£¥₹₩₽])\s*\}?\s*(?=[\d.\\])", text)
    if match is not None:
        symbol = match[2]
        return match[1] + text[match.end() :], CURRENCY.get(symbol[-1], "dollar" if symbol == "USD" else "rupee")
    match = re.search(r"(?<=\d)\s*(?:\\(?=\$))?([$€£¥₹₩₽])$", text)
    if match is not None:
        return text[: match.start()], CURRENCY[match[1]]
    return text, ""


FOREIGN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0400-\u04ff\u0e00-\u0e7f\u0900-\u0dff"
FOREIGN_UNIT = re.compile(rf"(?P<amount>.*[\d}})])\s*(?P<unit>[{FOREIGN}]{{1,12}}[²³]?)\.?", re.DOTALL)
FOREIGN_CHANGES = re.compile(
    "[万萬亿億千百十以上下多至不余餘几幾约約半倍成未超]|болел|более|менее|тыс|млн|не|이상|이하|천|만|백"
)
"""Words after a number that change its meaning: multipliers, "or more", "half"."""
FOREIGN_UNITS = {
    "毫米": "mm", "厘米": "cm", "公分": "cm", "分米": "dm", "米": "m", "公里": "km", "克": "g", "公斤": "kg",
    "毫升": "ml", "升": "l", "秒": "s", "分钟": "min", "分鐘": "min", "小时": "h", "小時": "h", "時間": "h",
    "天": "day",
    "日": "day", "周": "week", "元": "yuan", "円": "yen", "美元": "dollar", "ドル": "dollar", "度": "^{\\circ}",
    "平方厘米": "cm^2", "平方米": "m^2", "立方厘米": "cm^3", "立方米": "m^3", "センチ": "cm", "メートル": "m",
    "キロ": "km",
    "мм": "mm", "см": "cm", "дм": "dm", "м": "m", "км": "km", "г": "g", "кг": "kg", "л": "l", "мл": "ml", "с": "s",
    "сек": "s", "мин": "min", "ч": "h", "час": "h", "часа": "h", "часов": "h", "минут": "min", "дней": "day",
    "см²": "cm^2", "м²": "m^2", "원": "won", "시간": "h", "분": "min", "초": "s",
}  # fmt: skip


def foreign_unit(text: str) -> tuple[str, str] | None:
    """The value and the unit of a number before a word in another script, `12个`; None for anything else.

    千米 and 千克 begin with a sign that elsewhere multiplies by a thousand.
    """
    match = FOREIGN_UNIT.fullmatch(text.replace("千米", "公里").replace("千克", "公斤"))
    if match is None or (match["unit"] not in FOREIGN_UNITS and FOREIGN_CHANGES.search(match["unit"])):
        return None
    return match["amount"], FOREIGN_UNITS.get(match["unit"], match["unit"])


COMPOUND = re.compile(r"(?:\d+(?:\.\d+)? ?[A-Za-z]{1,12}\.?(?:, | |,|$)){2,3}")
AMOUNT_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)")


def read_compound(text: str) -> tuple[str, str] | None:
    """The value and the smaller unit of `5 feet 10 inches`: units of one kind, the larger ones first."""
    plain = " ".join(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).split()).replace(" ,", ",").replace(" and ", " ")
    if len(plain) > 60 or not COMPOUND.fullmatch(plain):
        return None
    amounts, names = zip(*AMOUNT_AND_UNIT.findall(plain), strict=True)
    spellings = [spelling_of(name) for name in names]
    if not UNITS.keys() >= set(spellings):
        return None
    units = [UNITS[spelling] for spelling in spellings]
    alike = len({unit.dimension for unit in units}) == 1
    if not alike or any(large.factor <= small.factor for large, small in pairwise(units)):
        return None
    total = sum(Fraction(amount) * unit.factor for amount, unit in zip(amounts, units, strict=True)) / units[-1].factor
    return f"\\frac{{{total.numerator}}}{{{total.denominator}}}", spellings[-1]


RATE = re.compile(r"\s*(\d[\d.,]*)\s*(/\s*[A-Za-z]{3,})\s*")


def read_unit(text: str) -> tuple[str, str]:
    """The value and the unit (in normalized spelling, "" if none) of a scalar in canonical LaTeX.

    Text in upright type after a number is always a unit, unless it changes the meaning. Bare letters are a unit only if
    they spell a known unit or a word, because `3ab` is a product.
    """
    amount, currency = split_currency(text)
    if currency:
        per = RATE.fullmatch(amount)
        value, rate = (per[1], spelling_of(per[2])) if per is not None else read_unit(amount.strip())
        return value, f"{currency}{rate}" if rate.startswith("/") else currency
    if len(text) >= 400:
        return text, ""
    foreign = None if text.isascii() else foreign_unit(text)
    if foreign is not None:
        return foreign
    match = TRAILING_UNIT.fullmatch(text)
    if match is None or CHANGES_MEANING.search(match["upright"] or match["bare"]):
        return text, ""
    if match["upright"]:
        return match["value"], spelling_of(match["upright"])
    unit, spelled = match["bare"], spelling_of(match["bare"])
    if spelled in UNITS or looks_like_words(unit, spaced=text[match.end("amount")] == " "):
        return match["amount"], spelled
    return text, ""


COUNTED = (
    "ant", "bag", "bed", "bee", "box", "boy", "bus", "can", "car", "cat", "cow", "cup", "dog", "egg", "hat", "hen",
    "jar", "key", "kid", "men", "mug", "pan", "pen", "pie", "pig", "pot", "row", "tie", "van",
)  # fmt: skip
"""Nouns of three letters; others could be a product of variables."""
SHORT_WORD = re.compile(r"[aeiou]")
"""What a word beside a longer one has: `12 red balls`."""


def looks_like_words(unit: str, spaced: bool) -> bool:
    words = re.findall(r"[A-Za-zÀ-ÿ]+", unit.lower())
    if all(singular(word) in UNITS or word in ("per", "sq", "square", "cubic") for word in words):
        return True
    long = [word for word in words if word in COUNTED or (len(word) >= 4 and re.search(r"[aeiouyà-ÿ]", word))]
    short = [word for word in words if word not in long]
    return spaced and bool(long) and all(word in UNITS or word == "per" or SHORT_WORD.search(word) for word in short)


def split_letter_unit(text: str, wanted: str) -> tuple[str, str]:
    """The value and the one-letter unit of `5 m`, which could also be a product; "" if it has none.

    Without the space, only the letter of the `wanted` unit is one.
    """
    match = re.fullmatch(r"(-?\d[\d.]*)( ?)([A-Za-z])", text.strip())
    if match is None or match[3].lower() not in UNITS or not (match[2] or match[3].lower() == wanted):
        return text, ""
    return match[1], match[3].lower()


GLUED_UNIT = re.compile(r"(-?\d[\d.]*)([shgL])")


def split_glued_unit(text: str) -> str | None:
    """The number in `3s`, whose letter touches it; None for anything else.

    Only letters that rarely are variables, and only beside a bare number: elsewhere `3s` is a product.
    """
    match = GLUED_UNIT.fullmatch(text)
    return None if match is None else match[1]


def spelling_of(unit: str) -> str:
    """One normalized spelling for `\\text{ square  centimeters}`, `cm^2` and `\\text{cm}^{2}`."""
    unit = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", unit).lower().replace(".", "")
    unit = re.sub(r"\bper\b", "/", unit)
    unit = re.sub(r"\b(?:square|sq)\s+([a-z]+)", r"\1^{2}", unit)
    unit = re.sub(r"\b(?:cubic|cu)\s+([a-z]+)", r"\1^{3}", unit)
    unit = re.sub(r"\^\s*\{?(-?\d)\}?", r"^\1", unit)
    unit = re.sub(r"[a-z]+", lambda m: singular(m[0]), unit)
    return re.sub(r"\s*([/^])\s*", r"\1", unit).strip()


def singular(word: str) -> str:
    if word in UNITS or len(word) < 3:
        return word
    return word[:-1] if word.endswith("s") else word


def known_unit(spelling: str) -> Unit | None:
    """The unit with this spelling; None for a noun or a generic "units", which do not affect the value."""
    if spelling in UNITS:
        return UNITS[spelling]
    top_factor, *bottom_factor = spelling.split("/", 1)
    top = power_of(top_factor)
    if top is None or not bottom_factor:
        return top
    bottom = power_of(bottom_factor[0])
    if bottom is None:
        return None
    dimension = f"{top.dimension}/{bottom.dimension}"
    return Unit("speed" if dimension == "length/time" else dimension, top.factor / bottom.factor)


def power_of(factor: str) -> Unit | None:
    match = re.fullmatch(r"([^^]+)(?:\^(-?\d))?", factor)
    unit = None if match is None else UNITS.get(match[1])
    if unit is None or match is None or match[2] is None:
        return unit
    power = int(match[2])
    if unit.dimension == "length" and power == 3:
        return Unit("volume", unit.factor**3 * 1000)
    return Unit(f"{unit.dimension}^{power}", unit.factor**power)
