"""The tables of rules that rewrite the notations of an answer into the dialect of `canonical`."""

from __future__ import annotations

import re
from fractions import Fraction

from treestar.verifier.notation.printed_forms import PRINTED_RULES
from treestar.verifier.notation.rewriting import rule
from treestar.verifier.notation.spoken_forms import SPOKEN_RULES

__all__ = ["RULES"]

NAMES = (
    "a(?:rc|r)?(?:sin|cos|tan|cot|sec|csc)h?|arcsin|arccos|arctan|arccot|arcsec|arccsc|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|gcd|lcm|"
    "sqrt|pi|theta|alpha|beta|gamma|delta|lambda|sigma|omega"
)
ENVIRONMENTS = r"(?:align|aligned|equation|gather|gathered|split|displaymath|math)\*?"
FONTS = r"(?:text(?:bf|it|rm|tt|sf|sc|normal|up)?|mbox|hbox|math(?:rm|bf|it|sf|tt)|operatorname\*?|boldsymbol|bm|emph)"


BRACKETS = {
    "\\lbrace": "\\{ ", "\\rbrace": "\\} ", "\\lbrack": "[ ", "\\rbrack": "] ", "\\lgroup": "( ", "\\rgroup": ") ",
}  # fmt: skip
CORNERS = {
    "\\ulcorner": "\\lceil ", "\\urcorner": "\\rceil ", "\\llcorner": "\\lfloor ", "\\lrcorner": "\\rfloor ",
}  # fmt: skip


def repeating(match: re.Match[str]) -> str:
    """The exact fraction of a repeating decimal."""
    whole, fixed, period = match["whole"] or "0", match["fixed"], match["period"]
    if not period.startswith(match.groupdict().get("begun") or ""):
        return match[0]  # 0.0001234... does not repeat its zero.
    if len(whole) + len(fixed) + len(period) > 200:
        return match[0]
    scale, cycle = 10 ** len(fixed), 10 ** len(period) - 1
    value = int(whole) + Fraction(int(fixed or 0), scale) + Fraction(int(period), scale * cycle)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def font(match: re.Match[str]) -> str:
    content = match["content"].strip()
    if content in ("$", "\\$"):
        return "\\$"
    if re.fullmatch(NAMES, content) or (content in ("min", "max") and match["font"].startswith("operatorname")):
        return f"\\{content} "
    if re.fullmatch(r"[-+]?[\d,]*\.?\d+", content):
        return content
    upright_letter = match["font"] in ("mathbf", "boldsymbol", "bm", "mathit") or content in ("e", "i", "d")
    if upright_letter and re.fullmatch(r"[A-Za-z]|\\[a-zA-Z]+", content):
        return f" {content} "
    return f"\\text{{{match['content']}}}"


LAYOUT_RULES = (
    rule(r"\\m?(?:left|right|middle)(?=[^a-zA-Z]|\\|$|[lr]br(?:ace|ack)|[lr]group)", "", "sizes of brackets"),
    rule(r"\\[lr](?:br(?:ace|ack)|group)", lambda m: BRACKETS[m[0]], "one kind of bracket"),
    rule(r"\\([ul])([lr])corner(?![a-zA-Z])", lambda m: CORNERS[m[0]], "corners for rounding", mark="corner"),
    rule(r"\\(?:begin|end)\{" + ENVIRONMENTS + r"\}", " ", "display environments carry no meaning"),
    rule(r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|left\.|right\.)(?![a-zA-Z])", " ", "layout"),
    rule(r"\\[bB]igg?[lrm]?(?![a-zA-Z])\s*", "", "sizes of brackets"),
    rule(r"\\\\\[-?[\d.]+\s*(?:pt|em|ex|mm|cm)\]", r"\\\\ ", "extra space between rows of a matrix", mark="\\\\["),
    rule(
        r"\\(begin|end)\{(?:array|[pbBvV]?smallmatrix)\}(?:(?<=n\{array\})\{[^{}]*\})?",
        r"\\\1{matrix}",
        "one kind of table",
        mark="\\begin",
    ),
    rule(r"\\[hv](?:space|phantom)\*?\{[^{}]*\}|\\!\s*|\\phantom\{[^{}]*\}", "", "space without width or content"),
    rule(r"(?<=\d)\s*\{\s*,\s*\}\s*(?=\d)|(?<=\d),\\[,;: ](?=\d{3})", ",", "thousands separators kept together"),
    rule(
        r"\\q?quad(?![a-zA-Z])\s*(?=\\(?:text|mbox|mathrm)|[.,;]|$|\\q?quad)",
        " ",
        "wide space before a unit or word",
        mark="\\q",
    ),
    rule(r"[,;]?\s*\\q?quad(?![a-zA-Z])", ", ", "wide space between the parts of a list", mark="quad"),
    rule(r"(?<!\\)\\[,;: >]|(?<!\\)~", " ", "spacing commands"),
    rule(r"\\(?:text|page)?color\s*(?:\[\w*\])?\{[^{}]*\}|\\underline(?![a-zA-Z])", "", "emphasis"),
    rule(r"(?<!\\)&\s*(?==)|(?<==)\s*&", "", "alignment at an equals sign", mark="&"),
    rule(r"\\(?:mathbb|Bbb)\s*([A-Z])(?![a-zA-Z])", r"\\mathbb{\1}", "sets of numbers", mark="bb"),
    rule(r"\\([RZNQ])(?![a-zA-Z])", r"\\mathbb{\1}", "sets of numbers"),
    rule(r"(?<![a-zA-Z\\])([a-zA-Z])\{(\([^{}()]*\))\}", r"\1\2", "functions as sympy prints them", mark="{("),
    rule(r"\\(?:dfrac|tfrac|cfrac)(?![a-zA-Z])", r"\\frac", "sizes of fractions", mark="frac"),
    rule(r"\\[dt]binom(?![a-zA-Z])", r"\\binom", "sizes of binomials", mark="binom"),
    rule(r"\\(?P<font>" + FONTS + r")\s*\{(?P<content>[^{}]*)\}", font, "fonts; bold letters are letters"),
    rule(r"\{\\(?:rm|bf|it|sf)\s+([^{}]*)\}", r"\\text{\1}", "old-style fonts", mark="{\\"),
)

INEQUALITY = r"[^,;&]*?(?:[<>]|!=|\\(?:leq?|geq?|neq?)(?![a-zA-Z]))[^,;&]*?"
WORD_RULES = (
    rule(
        rf"^({INEQUALITY})\s*,?\s*(?:\\text\{{\s*and\s*\}}|(?<![a-zA-Z\\])(?:and|&&?)(?![a-zA-Z]))\s*({INEQUALITY})$",
        r"\1 \\land \2",
        "conditions that hold together",
    ),
    rule(
        r"^(?:\\text\{\s*(?:about|approximately|around|exactly|roughly)\s*\}|(?:about|approximately|around|exactly|roughly)\s)\s*(?=[-\d.\\])",
        "",
        "how exact an answer is",
    ),
    rule(
        r"^(?:\\text\{\s*)?([A-Za-z][A-Za-z' ]*[A-Za-z]{2}[A-Za-z' ]*?)"
        r"\s*:?\s*(?:(?<=:)\s*\}|\}\s*:|:)\s+(?=[-+]?\s*[\d.$\\(\[{√π])(?=[^:]*$)",
        r"\\text{\1} = ",
        "a label with a colon",
        mark=":",
    ),
    rule(r",?\s*\\text\{\s*,?\s*(?:and|or)\s*,?\s*\}\s*,?", ", ", "a list may say and/or", mark="\\text"),
    rule(r",?\s*(?<![a-zA-Z\\{])(?:and|or)(?![a-zA-Z])\s*,?", ", ", "a list may say and/or"),
    rule(r"\s*(?:和|或者?|と)\s*|(?<=\d)\s+(?:und|oder|et|ou|y|и|или)\s+(?=[-\d\\])", ", ", "the same elsewhere"),
    rule(r",(?:\s*,)+", ",", "commas in a row", mark=","),
    rule(r"\\text\{\s*(?:percentage|percent|per cent|pct)\.?\s*\}", r"\\%", "percent in words", mark="\\text"),
    rule(r"(?<![a-zA-Z\\])(?:percentage|percent|per cent|pct)(?![a-zA-Z])\.?", r"\\%", "percent in words", mark="p"),
    rule(r"(?<!\\)%", r"\\%", "a percent sign starts a comment only in LaTeX sources", mark="%"),
    rule(r"\^\s*\{?\s*\\(?:circ|degree)(?![a-zA-Z])\s*\}?|\\degree(?![a-zA-Z])", r"^{\\circ}", "one degree sign"),
    rule(
        r"\\text\{\s*(?:degrees?|deg\.?)\s*\}|(?<=\d)\s*(?:degrees?|deg)(?![a-zA-Z])",
        r"^{\\circ}",
        "degrees",
        mark="deg",
    ),
)

QUANTIFIER = (
    r",?\s*(?:\\forall|(?:\\text\{\s*)?for (?:all|every|any)(?:\s+real)?"
    r"(?:\s+(?:numbers?|constants?|values of))?)\s*\}?\s*[a-zA-Z]\s*\}?\s*(?:\\in\s*\\mathbb\{R\})?\s*\.?$"
)
SYMBOL_RULES = (
    rule(QUANTIFIER, "", "a function of a real variable is the default", mark="for"),
    rule(r"\*\*", "^", "Python's power", mark="**"),
    rule(r"<=|\\leq(?:slant|q)?(?![a-zA-Z])|=<", r"\\le ", "one name per relation"),
    rule(r">=|\\geq(?:slant|q)?(?![a-zA-Z])", r"\\ge ", "one name per relation"),
    rule(r"!=|\\neq(?![a-zA-Z])|\\not\s*=", r"\\ne ", "one name per relation"),
    rule(r"\\lt(?![a-zA-Z])", "<", "one name per relation", mark="\\lt"),
    rule(r"\\gt(?![a-zA-Z])", ">", "one name per relation", mark="\\gt"),
    rule(r"\\(?:colon\s*=|coloneqq)|:=", "=", "a definition is an equation"),
    rule(r"\\(?:varnothing|O)(?![a-zA-Z])", r"\\emptyset ", "one empty set"),
    rule(r"\\(?:infin|infinity)(?![a-zA-Z])|(?<![a-zA-Z\\])(?:infinity|inf|oo)(?![a-zA-Z])", r"\\infty ", "infinity"),
    rule(r"\+\s*\\infty", r"\\infty", "infinity without a sign is positive", mark="\\infty"),
    rule(r"(?<=[\])}])\s*[Uu]\s*(?=[\[(\\])", r" \\cup ", "a letter U between intervals"),
    rule(r"\\var(?=phi|theta|epsilon|rho|sigma)", r"\\", "variant letters", mark="\\var"),
    rule(r"\\ast(?![a-zA-Z])|\*", r" \\cdot ", "programming's product"),
    rule(r"\\(?:[lr][vV]|v)ert|\\mid(?![a-zA-Z])", "|", "one kind of bar"),
    rule(r"(?<![a-zA-Z\\])[aA]bs\(([^()]*)\)", r"|\1|", "programming's absolute value", mark="bs("),
    rule(r"(?<![a-zA-Z\\])(arc)?(sin|cos|tan|ln|log)(?=[xyt](?![a-zA-Z]))", r"\\\1\2 ", "a function run into its x"),
    rule(r"(?<![a-zA-Z\\])(?:" + NAMES + r")(?![a-zA-Z])", lambda m: f"\\{m[0]} ", "functions without backslash"),
    rule(r"(?<![a-zA-Z\\])(min|max)(?=\s*(?:\(|\\?\{|_))", r"\\\1 ", "functions without backslash", mark="m"),
    rule(r"(?<![a-zA-Z\\])cbrt(?=\()", r"\\sqrt[3]", "the cube root of programs", mark="cbrt"),
    rule(r"(?<=\\in)\s*([RZNQ])(?![a-zA-Z_(])", r" \\mathbb{\1}", "a bare letter of a set of numbers", mark="\\in"),
    rule(r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}", r"\\binom{\1}{\2}", "the old binomial", mark="\\choose"),
    rule(r"(?<![a-zA-Z\\])C_\{?(\d{1,4})\}?\^\{?(\d{1,4})\}?", r"\\binom{\1}{\2}", "combinations", mark="C_"),
    rule(r"\{?\}?[_^]\{?(\d{1,4})\}?\s*C\s*_\{?(\d{1,4})\}?", r"\\binom{\1}{\2}", "combinations", mark="C"),
)

MULTIPLIERS = {
    "hundred": "100", "thousand": "10^{3}", "million": "10^{6}", "billion": "10^{9}", "trillion": "10^{12}",
    "dozen": "12",
}  # fmt: skip


def multiplied(match: re.Match[str]) -> str:
    opened = match["upright"] and not match[0].endswith("}")
    return f"{match[1]}\\cdot {MULTIPLIERS[match['word']]}" + ("\\text{" if opened else "")


ORDER_RULES = (
    rule(r"\\mod(?![a-zA-Z])|\\text\{\s*mod\s*\}(?!\s*\))", r"\\bmod ", "one remainder", mark="mod"),
    rule(
        r"\\text\{\s*(floor|ceil(?:ing)?)\s*\}|(?<![a-zA-Z\\])(floor|ceil(?:ing)?)(?=\()", r"\\\1\2 ", "steps by name"
    ),
    rule(
        r"\\(?:a|ar|arc)(sin|cos|tan|cot|sec|csc)h(?![a-zA-Z])", r"\\ar\1h ", "inverse hyperbolic functions", mark="h"
    ),
    rule(r"\\(?:a|ar)(sin|cos|tan|cot|sec|csc)(?![a-zA-Z])", r"\\arc\1 ", "inverse functions", mark="\\a"),
)

SET_RULES = (
    rule(r"(?<=\})\s*(?:-|\\\s)\s*(?=\\\{)", r" \\setminus ", "a difference of sets", mark="{"),
    rule(
        r"(\\mathbb\{[RZNQC]\})\s*(?:-|\\\s|\\(?=\{)|\\backslash|/)\s*(?=\\?\{)",
        r"\1 \\setminus ",
        "a difference of sets",
        mark="\\mathbb",
    ),
    rule(r"^R\s*(?:\\setminus|\\backslash|[-\\])\s*(?=\\?\{)", r"\\mathbb{R} \\setminus ", "a bare R", mark="R"),
)

NUMBER_RULES = (
    rule(
        r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times ", "a letter x as the times sign of scientific notation", mark="10"
    ),
    rule(
        r"(?<=\d)\s+[xX]\s+(?=\d[\d.,\sxX]*=)", r"\\times ", "a letter x as the times sign of a calculation", mark="="
    ),
    rule(
        rf"(\d)\s*(?P<upright>\\text\{{\s*)?(?P<word>{'|'.join(MULTIPLIERS)})s?(?![a-zA-Z])(?(upright)(?:\s*\}})?)",
        multiplied,
        "numbers in words",
    ),
    rule(
        r"(\d*\.\d*)\\dot\{?(\d)\}?(\d*)\\dot\{?(\d)\}?",
        r"\1\\overline{\2\3\4}",
        "dots mark the ends of a period",
        mark="\\dot",
    ),
    rule(r"(?P<whole>\d*)\.(?P<fixed>\d*)\\(?:overline|bar|dot)\s*\{?(?P<period>\d+)\}?", repeating, "exact value"),
    rule(r"(?P<whole>\d*)\.(?P<fixed>\d*)\((?P<period>\d+)\)", repeating, "a period in brackets", mark="("),
    rule(
        r"(?P<whole>\d*)\.(?P<fixed>\d*?)(?P<period>\d{1,6})(?P=period){2,}(?P<begun>\d*)\s*(?:\.\.\.|\\[lc]?dots)",
        repeating,
        "a period written three times and dots",
        mark=".",
    ),
    rule(
        r"(?P<whole>\d*)\.(?P<fixed>\d{0,3}?)(?P<period>\d{3,6})(?P=period)\s*(?:\.\.\.|\\[lc]?dots)",
        repeating,
        "a long period written twice and dots",
        mark=".",
    ),
    rule(
        r"(?<![\d.,])\d{1,3}(?:(?: \d{3})+|(?:\.\d{3}){2,}|(?:'\d{3})+)(?![\d/])",
        lambda m: re.sub(r"[ .']", "", m[0]),
        "marks between thousands",
    ),
    rule(r"(?<![\d.^{])(\d+)\s+(\d+)/(\d+)(?![\d.])", r"\1\\frac{\2}{\3}", "mixed numbers", mark="/"),
    rule(r"(?<![a-zA-Z\d.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d{1,4})(?![\d.])", r"\1\\cdot 10^{\2}", "float notation"),
    rule(r"(?<![\d.])\.(?=\d)", "0.", "a missing zero", mark="."),
)


RULES = (
    *PRINTED_RULES,
    *SET_RULES,
    *LAYOUT_RULES,
    *ORDER_RULES,
    *SPOKEN_RULES,
    *WORD_RULES,
    *SYMBOL_RULES,
    *SET_RULES,
    *NUMBER_RULES,
)
"""All rules in the order in which they apply."""
