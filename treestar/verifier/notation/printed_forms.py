"""Rewrites answers printed by Python and sympy to LaTeX: `Fraction(1, 2)`, `Interval.open(0, oo)`, `{x: 1}`."""

from __future__ import annotations

import re

from treestar.verifier.notation.rewriting import rule

__all__ = ["PRINTED_RULES"]

ARGUMENT = r"((?:[^(),\[\]]|\([^()]*\))+)"
"""One argument of a call, with at most one call inside it."""
SOLUTION = r"[A-Za-z]\w*: [^{}:<>=,]*"
RELATIONS = {
    "Eq": "=", "Equality": "=", "Ne": "\\ne ", "Unequality": "\\ne ", "Le": "\\le ", "LessThan": "\\le ", "Ge": "\\ge ",
    "GreaterThan": "\\ge ", "Lt": "<", "StrictLessThan": "<", "Gt": ">", "StrictGreaterThan": ">",
}  # fmt: skip
NAME = r"(?<![A-Za-z\\])"


def interval(match: re.Match[str]) -> str:
    kind, low, high = match[1], match[2].strip(), match[3].strip()
    opening = "(" if kind in ("open", "Lopen") or low == "-oo" else "["
    closing = ")" if kind in ("open", "Ropen") or high == "oo" else "]"
    return f"{opening}{low},{high}{closing}"


def relation(match: re.Match[str]) -> str:
    return f"{match[2]}{RELATIONS[match[1]]}{match[3]}"


def operation(match: re.Match[str]) -> str:
    return re.sub(r"(?<=[\])}])\s*,", r" \\cup" if match[1] == "Union" else r" \\cap", match[2])


def named_set(match: re.Match[str]) -> str:
    return {"Integers": "\\mathbb{Z}", "Complexes": "\\mathbb{C}"}.get(match[1], f"\\mathbb{{{match[1][0]}}}")


def equations(match: re.Match[str]) -> str:
    return match[1].replace("}, {", "; ").replace(":", "=")


def numbers_with_commas(match: re.Match[str]) -> str:
    """The rows of an array as NumPy prints it, `[1. 2. 3.]`, with commas."""
    return re.sub(r"(?<=[\d.])\s+(?=[-+.\d])", ", ", match[0])


def both(match: re.Match[str]) -> str:
    return re.sub(r"(?<=[^,]),(?=[^,])", r" \\land ", match[1])


def is_program(text: str) -> bool:
    """Whether `text` can be an expression as sympy prints it: no LaTeX, and no other capital letters."""
    return "\\" not in text and re.search(r"(?<![A-Za-z])[A-DF-HJ-Z](?![a-z])", text) is None


NUMBER_IN_ROW = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
PRINTED_RULES = (
    rule(
        rf"{NAME}(?:np|numpy|torch|jnp)\.(?:u?int|float|complex|bool|str|longdouble|half|single|double)\d*_?\(([^()]*)\)",
        r"\1",
        "scalars of NumPy",
        mark=".",
    ),
    rule(rf"{NAME}(?:np|numpy)\.(?=array|matrix|True_|False_|pi|inf|nan)", "", "names of NumPy", mark="."),
    rule(r",\s*(?:dtype|device|shape)=[\w.'<>:]+(?=\s*[,)])", "", "types of arrays", mark="="),
    rule(
        rf"\[\s*{NUMBER_IN_ROW}(?:\s+{NUMBER_IN_ROW})+\s*\]",
        numbers_with_commas,
        "arrays as NumPy prints them",
        mark="[",
    ),
    rule(r"\]\s+(?=\[)", "], ", "rows as NumPy prints them", mark="]"),
    rule(rf"{NAME}(?:Decimal|mpf)\(['\"]({NUMBER_IN_ROW})['\"]\)", r"\1", "exact decimals", mark="("),
    rule(
        rf"{NAME}mpc\(real=['\"]({NUMBER_IN_ROW})['\"], imag=['\"]({NUMBER_IN_ROW})['\"]\)",
        r"\1+(\2)i",
        "complex",
        mark="mpc(",
    ),
    rule(
        rf"{NAME}(?:tensor|Tuple|Point(?:2D|3D)?|FrozenSet|frozenset)\((.*)\)$", r"(\1)", "other containers", mark="("
    ),
    rule(
        rf"{NAME}(?:S\.)?(Reals|Integers|Naturals|Rationals|Complexes)(?![A-Za-z])",
        named_set,
        "sets of sympy",
        mark="s",
    ),
    rule(rf"{NAME}And\(([^()]*(?:\([^()]*\)[^()]*)*)\)", both, "conditions of sympy", mark="And("),
    rule(rf"{NAME}Or\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"\1", "conditions of sympy", mark="Or("),
    rule(
        r"\(([^()<>]+<=?) *(\w+)\) & \(\2( *<=?[^()<>]+)\)", r"(\1 \2\3)", "conditions of sympy: between", mark=") & ("
    ),
    rule(r"\)\s*\|\s*\((?=\(?[^()|]*[<>=])", "), (", "conditions of sympy: or", mark="|"),
    rule(r"(?<=\))\s*&\s*(?=\([^()&]*[<>=])", r" \\land ", "conditions of sympy: and", mark="&"),
    rule(rf"{NAME}({'|'.join(RELATIONS)})\({ARGUMENT},{ARGUMENT}\)", relation, "relations of sympy", mark="("),
    rule(
        rf"{NAME}(?:Poly|Integer|Float|simplify|nsimplify)\({ARGUMENT}(?:,[^()]*)?\)",
        r"\1",
        "wrappers of sympy",
        mark="(",
    ),
    rule(rf"{NAME}Symbol\(['\"](\w+)['\"]\)", r"\1", "wrappers of sympy", mark="Symbol("),
    rule(rf"{NAME}(?:Fraction|Rational)\({ARGUMENT},{ARGUMENT}\)", r"\\frac{\1}{\2}", "exact fractions", mark="("),
    rule(
        rf"{NAME}(?:Mutable|Immutable)?(?:Dense)?(?:[Mm]atrix|array)\((\[.*\])\)",
        r"\1",
        "nested lists of numbers",
        mark="(",
    ),
    rule(
        rf"{NAME}Interval(?:\.([A-Za-z]*open))?\({ARGUMENT},{ARGUMENT}\)",
        interval,
        "open at infinity as always",
        mark="Interval",
    ),
    rule(rf"{NAME}FiniteSet\(([^()]*)\)", r"\\{\1\\}", "sets of sympy", mark="FiniteSet"),
    rule(
        rf"{NAME}Complement\({ARGUMENT},([^()]*(?:\([^()]*\)[^()]*)*)\)$",
        r"\1 \\setminus \2",
        "sets of sympy",
        mark="Complement",
    ),
    rule(rf"{NAME}(Union|Intersection)\((.*)\)$", operation, "sets of sympy", mark="("),
    rule(rf"{NAME}(?:EmptySet(?:\(\))?|set\(\))", r"\\emptyset ", "the empty set", mark="et("),
    rule(
        rf"(?<![\\A-Za-z])\[?\{{({SOLUTION}(?:(?:, |\}}, \{{){SOLUTION})*)\}}\]?",
        equations,
        "solutions of sympy",
        mark=": ",
    ),
    rule(rf"{NAME}binomial\({ARGUMENT},{ARGUMENT}\)", r"\\binom{\1}{\2}", "functions of sympy", mark="binomial"),
    rule(rf"{NAME}factorial\({ARGUMENT}\)", r"(\1)!", "functions of sympy", mark="factorial"),
    rule(rf"{NAME}a(?=(?:sin|cos|tan)\()", "arc", "functions of sympy", mark="a"),
    rule(r"(?<=\d)j(?![A-Za-z])", "i", "Python's imaginary unit", mark="j"),
    rule(r",\s*\)", ")", "a tuple of one", mark=","),
    rule(
        r"(?<=[*+/-])\s*[EI](?![\w(!'\[{^]|\s*=)|(?<![\w\\{.^)'])[EI](?=\s*(?:\*|[+/-]\s*\d))",
        lambda m: m[0].replace("E", "e").replace("I", "i") if is_program(m.string) else m[0],
        "constants of sympy",
    ),
    rule(r"^'([^']*)'$|^\"([^\"]*)\"$", r"\1\2", "quotes around a string"),
)
