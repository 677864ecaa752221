"""Rewrites the many notations of an answer into one small dialect of LaTeX.

`canonical` applies a fixed sequence of rewriting rules, each with its reason. The output uses: `\\frac{a}{b}`,
`\\sqrt[n]{a}`, `^{...}`, `\\cdot`, `\\text{...}` for every kind of upright text, `\\le \\ge \\ne \\in \\cup \\infty
\\pi`, backslashed function names, `,` for "and" and "or", and no `\\left`, `\\right`, dollar signs or spacing commands.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

from treestar.verifier.grading.printed_forms import PRINTED_RULES
from treestar.verifier.grading.rewriting import rewritten, rule

__all__ = ["canonical", "matching_brackets", "squeeze", "words_of"]

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ⁽⁾", "0123456789+-n()")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙ₍₎", "0123456789+-n()")
CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—‐‑﹣", "-"), **dict.fromkeys("×✕", "\\times "), **dict.fromkeys("·⋅∙•", "\\cdot "),
        **dict.fromkeys("≤≦⩽", "\\le "), **dict.fromkeys("≥≧⩾", "\\ge "), **dict.fromkeys("°º", "^{\\circ}"),
        **dict.fromkeys("‘’′", "'"), **dict.fromkeys("“”", '"'), **dict.fromkeys("∅⌀", "\\emptyset "),
        "÷": "\\div ", "∕": "/", "⁄": "/", "≠": "\\ne ", "≈": "\\approx ", "≡": "\\equiv ", "±": "\\pm ",
        "∓": "\\mp ", "∞": "\\infty ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ", "∖": "\\setminus ",
        "√": "\\sqrt ", "∛": "\\sqrt[3] ", "π": "\\pi ", "θ": "\\theta ", "α": "\\alpha ", "β": "\\beta ",
        "γ": "\\gamma ", "δ": "\\delta ", "λ": "\\lambda ", "μ": "\\mu ", "σ": "\\sigma ", "φ": "\\phi ",
        "ϕ": "\\phi ", "ω": "\\omega ", "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}",
        "ℚ": "\\mathbb{Q}", "ℂ": "\\mathbb{C}", "∑": "\\sum ", "∏": "\\prod ", "∫": "\\int ", "⟨": "\\langle ",
        "⟩": "\\rangle ", "∠": "\\angle ", "△": "\\triangle ", "…": "\\ldots ", "∣": "|", "∧": "\\land ", "∨": " or ",
    }
)  # fmt: skip

NAMES = (
    "a(?:rc|r)?(?:sin|cos|tan|cot|sec|csc)h?|arcsin|arccos|arctan|arccot|arcsec|arccsc|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|max|min|gcd|lcm|"
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
    if len(whole) + len(fixed) + len(period) > 200:
        return match[0]
    scale, cycle = 10 ** len(fixed), 10 ** len(period) - 1
    value = int(whole) + Fraction(int(fixed or 0), scale) + Fraction(int(period), scale * cycle)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def dotted_period(match: re.Match[str]) -> str:
    return f"{match[1]}\\overline{{{match[2]}{match[3]}{match[4]}}}"


def font(match: re.Match[str]) -> str:
    content = match["content"].strip()
    if content in ("$", "\\$"):
        return "\\$"
    if re.fullmatch(NAMES, content):
        return f"\\{content} "
    if re.fullmatch(r"[-+]?[\d,]*\.?\d+", content):
        return content
    upright_letter = match["font"] in ("mathbf", "boldsymbol", "bm", "mathit") or content in ("e", "i", "d")
    if upright_letter and re.fullmatch(r"[A-Za-z]|\\[a-zA-Z]+", content):
        return f" {content} "
    return f"\\text{{{match['content']}}}"


LAYOUT_RULES = (
    rule(
        r"\\m?(?:left|right|middle)(?=[^a-zA-Z]|\\|$|[lr]br(?:ace|ack)|[lr]group)", "", "sizes of brackets", mark="\\"
    ),
    rule(r"\\[lr](?:br(?:ace|ack)|group)", lambda m: BRACKETS[m[0]], "one kind of bracket", mark="\\"),
    rule(r"\\([ul])([lr])corner(?![a-zA-Z])", lambda m: CORNERS[m[0]], "corners for rounding", mark="corner"),
    rule(r"\\(?:begin|end)\{" + ENVIRONMENTS + r"\}", " ", "display environments carry no meaning", mark="\\"),
    rule(
        r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|left\.|right\.)(?![a-zA-Z])", " ", "layout", mark="\\"
    ),
    rule(r"\\(?:left|right|[bB]igg?[lrm]?)(?![a-zA-Z])\s*", "", "sizes of brackets", mark="\\"),
    rule(r"\\\\\[-?[\d.]+\s*(?:pt|em|ex|mm|cm)\]", r"\\\\ ", "extra space between rows of a matrix", mark="\\\\["),
    rule(
        r"\\begin\{(?:array|[pbBvV]?smallmatrix)\}(?:\{[^{}]*\})?",
        r"\\begin{matrix}",
        "one kind of table",
        mark="\\begin",
    ),
    rule(r"\\end\{(?:array|[pbBvV]?smallmatrix)\}", r"\\end{matrix}", "one kind of table", mark="\\end"),
    rule(
        r"\\[hv](?:space|phantom)\*?\{[^{}]*\}|\\!\s*|\\phantom\{[^{}]*\}",
        "",
        "space without width or content",
        mark="\\",
    ),
    rule(r"(?<=\d)\s*\{\s*,\s*\}\s*(?=\d)|(?<=\d),\\[,;: ](?=\d{3})", ",", "thousands separators kept together"),
    rule(
        r"\\q?quad(?![a-zA-Z])\s*(?=;)|(?<=;)\s*\\q?quad(?![a-zA-Z])", " ", "wide space beside a separator", mark="\\q"
    ),
    rule(
        r"\\q?quad(?![a-zA-Z])\s*(?=\\(?:text|mbox|mathrm)|[.,;]|$|\\q?quad)",
        " ",
        "wide space before a unit or word",
        mark="\\q",
    ),
    rule(r"[,;]?\s*\\q?quad(?![a-zA-Z])", ", ", "wide space between the parts of a list", mark="quad"),
    rule(r"(?<!\\)\\[,;: >]|(?<!\\)~", " ", "spacing commands"),
    rule(r"\\(?:dfrac|tfrac|cfrac)(?![a-zA-Z])", r"\\frac", "sizes of fractions", mark="frac"),
    rule(r"\\[dt]binom(?![a-zA-Z])", r"\\binom", "sizes of binomials", mark="binom"),
    rule(r"\\(?P<font>" + FONTS + r")\s*\{(?P<content>[^{}]*)\}", font, "fonts; bold letters are letters", mark="\\"),
    rule(r"\{\\(?:rm|bf|it|sf)\s+([^{}]*)\}", r"\\text{\1}", "old-style fonts", mark="{\\"),
)

WORD_RULES = (
    rule(r"(?:\\(?:wedge|land)(?![a-zA-Z])|∧)", r"\\land ", "a logical and", mark="\\"),
    rule(r",?\s*\\text\{\s*,?\s*(?:and|or)\s*,?\s*\}\s*,?", ", ", "a list may say and/or", mark="\\text"),
    rule(r",?\s*(?<![a-zA-Z\\{])(?:and|or)(?![a-zA-Z])\s*,?", ", ", "a list may say and/or"),
    rule(r",(?:\s*,)+", ",", "commas in a row", mark=","),
    rule(r"\\text\{\s*(?:percentage|percent|per cent|pct)\.?\s*\}", r"\\%", "percent in words", mark="\\text"),
    rule(r"(?<![a-zA-Z\\])(?:percentage|percent|per cent|pct)(?![a-zA-Z])\.?", r"\\%", "percent in words", mark="p"),
    rule(r"(?<!\\)%", r"\\%", "a percent sign starts a comment only in LaTeX sources", mark="%"),
    rule(
        r"\^\s*\{?\s*\\(?:circ|degree)(?![a-zA-Z])\s*\}?|\\degree(?![a-zA-Z])",
        r"^{\\circ}",
        "one degree sign",
        mark="\\",
    ),
    rule(
        r"\\text\{\s*(?:degrees?|deg\.?)\s*\}|(?<=\d)\s*(?:degrees?|deg)(?![a-zA-Z])",
        r"^{\\circ}",
        "degrees",
        mark="deg",
    ),
)

QUANTIFIER = (
    r",?\s*(?:\\text\{\s*for (?:all|every|any)(?: real(?: numbers?)?)?\s*\}|\\forall|for (?:all|every|any))"
    r"\s*[a-z]\s*\\in\s*\\mathbb\{R\}\s*\.?$"
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
    rule(r"\\(?:varnothing|O)(?![a-zA-Z])", r"\\emptyset ", "one empty set", mark="\\"),
    rule(r"\\(?:infin|infinity)(?![a-zA-Z])|(?<![a-zA-Z\\])(?:infinity|inf|oo)(?![a-zA-Z])", r"\\infty ", "infinity"),
    rule(r"\+\s*\\infty", r"\\infty", "infinity without a sign is positive", mark="\\infty"),
    rule(r"(?<=[\])}])\s*[Uu]\s*(?=[\[(\\])", r" \\cup ", "a letter U between intervals"),
    rule(r"\\var(?=phi|theta|epsilon|rho|sigma)", r"\\", "variant letters", mark="\\var"),
    rule(r"\\ast(?![a-zA-Z])|\*", r" \\cdot ", "programming's product"),
    rule(r"\\[lr][vV]ert(?![a-zA-Z])|\\mid(?![a-zA-Z])|\\vert(?![a-zA-Z])", "|", "one kind of bar", mark="\\"),
    rule(r"(?<![a-zA-Z\\])[aA]bs\(([^()]*)\)", r"|\1|", "programming's absolute value", mark="bs("),
    rule(r"(?<![a-zA-Z\\])(arc)?(sin|cos|tan|ln|log)(?=[xyt](?![a-zA-Z]))", r"\\\1\2 ", "a function run into its x"),
    rule(r"(?<![a-zA-Z\\])(?:" + NAMES + r")(?![a-zA-Z])", lambda m: f"\\{m[0]} ", "functions without backslash"),
    rule(r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}", r"\\binom{\1}{\2}", "the old binomial", mark="\\choose"),
    rule(r"(?<![a-zA-Z\\])C_\{?(\d{1,4})\}?\^\{?(\d{1,4})\}?", r"\\binom{\1}{\2}", "combinations", mark="C_"),
    rule(r"\{?\}?[_^]\{?(\d{1,4})\}?\s*C\s*_\{?(\d{1,4})\}?", r"\\binom{\1}{\2}", "combinations", mark="C"),
)

POWERS_OF_TEN = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}


def named_power(match: re.Match[str]) -> str:
    return f"{match[1]}\\cdot 10^{{{POWERS_OF_TEN[match[2]]}}}"


ORDER_RULES = (
    rule(r"\\mod(?![a-zA-Z])|\\text\{\s*mod\s*\}(?!\s*\))", r"\\bmod ", "one remainder", mark="mod"),
    rule(
        r"\\text\{\s*(floor|ceil(?:ing)?)\s*\}|(?<![a-zA-Z\\])(floor|ceil(?:ing)?)(?=\()", r"\\\1\2 ", "steps by name"
    ),
    rule(
        r"\\(?:a|ar|arc)(sin|cos|tan|cot|sec|csc)h(?![a-zA-Z])", r"\\ar\1h ", "inverse hyperbolic functions", mark="h"
    ),
    rule(r"\\(?:a|ar)(sin|cos|tan|cot|sec|csc)(?![a-zA-Z])", r"\\arc\1 ", "inverse functions", mark="\\a"),
    rule(r"\\(?:arg(?=sinh|cosh|tanh))", r"\\ar", "inverse hyperbolic functions", mark="\\arg"),
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

INEQUALITY = r"[^,;&]*?(?:[<>]|!=|\\(?:leq?|geq?|neq?)(?![a-zA-Z]))[^,;&]*?"
CONDITION_RULES = (
    rule(
        rf"^({INEQUALITY})\s*,?\s*(?:\\text\{{\s*and\s*\}}|(?<![a-zA-Z\\])(?:and|&&?)(?![a-zA-Z]))\s*({INEQUALITY})$",
        r"\1 \\land \2",
        "conditions that hold together",
    ),
)

LABEL_RULES = (
    rule(
        r"^(?:\\text\{\s*)?([A-Za-z][A-Za-z' ]*[A-Za-z]{2}[A-Za-z' ]*?)\s*:?\s*(?:(?<=:)\s*\}|\}\s*:|:)\s+(?=[-+]?\s*[\d.$\\(\[{√π])(?=[^:]*$)",
        r"\\text{\1} = ",
        "a label with a colon",
        mark=":",
    ),
)

NUMBER_RULES = (
    rule(
        r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times ", "a letter x as the times sign of scientific notation", mark="10"
    ),
    rule(r"(\d)\s*(?:\\text\{\s*)?(thousand|million|billion|trillion)\s*(?:\})?", named_power, "numbers in words"),
    rule(
        r"(\d*\.\d*)\\dot\{?(\d)\}?(\d*)\\dot\{?(\d)\}?", dotted_period, "dots mark the ends of a period", mark="\\dot"
    ),
    rule(
        r"(?P<whole>\d*)\.(?P<fixed>\d*)\\(?:overline|bar|dot)\s*\{?(?P<period>\d+)\}?",
        repeating,
        "exact value",
        mark="\\",
    ),
    rule(r"(?P<whole>\d*)\.(?P<fixed>\d*)\((?P<period>\d+)\)", repeating, "a period in brackets", mark="("),
    rule(
        r"(?P<whole>\d*)\.(?P<fixed>\d*?)(?P<period>\d{1,6})(?P=period){2,}\d*\s*(?:\.\.\.|\\[lc]?dots)",
        repeating,
        "a period written three times and dots",
        mark=".",
    ),
    rule(
        r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d/])", lambda m: m[0].replace(" ", ""), "spaces between thousands", mark=" "
    ),
    rule(r"(?<![\d.^{])(\d+)\s+(\d+)/(\d+)(?![\d.])", r"\1\\frac{\2}{\3}", "mixed numbers", mark="/"),
    rule(r"(?<![a-zA-Z\d.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d{1,4})(?![\d.])", r"\1\\cdot 10^{\2}", "float notation"),
    rule(r"(?<![\d.])\.(?=\d)", "0.", "a missing zero", mark="."),
)


TABLES = (
    (
        re.compile(r"[A-Za-z0-9_]\(|\[|['\"]|\{.*:|\d[j.]|[EI]|\)\s*[|&]|,\s*\)|_|Reals|Integers|Naturals|Rationals"),
        PRINTED_RULES,
    ),
    (re.compile(r"\{"), SET_RULES),
    (re.compile(r"\\|~|\{\s*,"), LAYOUT_RULES),
    (re.compile(r"\\|floor|ceil|mod"), ORDER_RULES),
    (re.compile(r"and|&"), CONDITION_RULES),
    (None, LABEL_RULES),
    (re.compile(r"[a-z%,∧^]"), WORD_RULES),
    (re.compile(r"[^\d\s.,]"), SYMBOL_RULES),
    (re.compile(r"\{"), SET_RULES),
    (None, NUMBER_RULES),
)
"""The tables in the order in which they apply, each with what a text must contain to be changed by it."""


@lru_cache(maxsize=512)
def canonical(text: str) -> str:
    """`text` (math without dollar signs) in the dialect that the rest of the grader reads."""
    text = re.sub(r"\s+", " ", plain_characters(text))
    if "matrix}" not in text and "array}" not in text and "cases}" not in text:
        text = re.sub(r"\\\\(?=[a-zA-Z{}\[\]()])", r"\\", text)  # Backslashes that were escaped twice.
    for needed, rules in TABLES:
        if needed is None or needed.search(text):
            text = rewritten(text, rules)
    text = brace_arguments(text)
    if "_" in text and "^" in text:
        text = SUBSCRIPT_LAST.sub(r"\2\1", text)
    text = re.sub(r"\s+", " ", text).strip()
    return without_outer_punctuation(text)


def squeeze(text: str) -> str:
    """`text` without meaningless spaces; spaces between two digits stay."""
    text = re.sub(r"(\\[a-zA-Z]+) (?=[a-zA-Z])", r"\1\0", text)
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)
    return text.replace("\0", " ")


def words_of(text: str) -> str:
    """The letters and digits of a verbal answer in lower case, without LaTeX."""
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"[.,;:!?](?!\d)|[\s{}$\"`]+", "", text)
    return text.lower() if len(text) > 1 else text


def plain_characters(text: str) -> str:
    if text.isascii():
        return text
    text = re.sub(
        r"(?<=\d)\s?([kcmd]?m)([²³])", r" \\text{\1}\2", text
    )  # m² is a unit, m^2 may be a variable's square.
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ⁽⁾]+", lambda m: "^{" + m[0].translate(SUPERSCRIPTS) + "}", text)
    text = re.sub("[₀₁₂₃₄₅₆₇₈₉₊₋ₙ₍₎]+", lambda m: "_{" + m[0].translate(SUBSCRIPTS) + "}", text)
    text = re.sub("[¼½¾⅐-⅞]", vulgar_fraction, text)
    return unicodedata.normalize("NFKC", text.translate(CHARACTERS)).translate(CHARACTERS).replace("\u200b", "")


def vulgar_fraction(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"


def without_outer_punctuation(text: str) -> str:
    stripped = text.strip(" ,;\n\t")
    while stripped.endswith((".", ":", "\\")) and not stripped.endswith("..."):
        stripped = stripped[:-1].rstrip(" ,;")
    return stripped.lstrip(": ")


def matching_brackets(text: str) -> dict[int, int]:
    """Position of the closing bracket for each matched opening bracket. Round and square brackets may match each other,
    as in half-open intervals.

    Escaped braces are a separate kind of bracket; positions are those of the bracket characters.
    """
    closing: dict[int, int] = {}
    stack: list[tuple[str, int]] = []
    kinds = {")": "(", "]": "(", "}": "{", "\\}": "\\{", "\\rangle": "\\langle"}
    for match in re.finditer(r"\\[a-zA-Z]+|\\.|[()\[\]{}]", text, re.DOTALL):
        token = match[0]
        if token in ("(", "[", "{", "\\{", "\\langle"):
            stack.append(("(" if token == "[" else token, match.start()))
        elif token in kinds:
            # An unmatched opening bracket inside must not hide the pair around it.
            while stack and stack[-1][0] != kinds[token]:
                if not any(kind == kinds[token] for kind, _ in stack[-20:]):
                    break
                stack.pop()
            if stack and stack[-1][0] == kinds[token]:
                closing[stack.pop()[1]] = match.start()
    return closing


SUBSCRIPT_LAST = re.compile(r"(\^\{(?:[^{}]|\{[^{}]*\})*\})(_\{(?:[^{}]|\{[^{}]*\})*\})")
ARGUMENT_COUNT = {"\\frac": 2, "\\binom": 2, "\\sqrt": 1, "^": 1, "_": 1}


def brace_arguments(text: str) -> str:
    r"""Put braces around the arguments of `\frac12`, `\sqrt3`, `\sqrt(x)`, `x^10`, `x^(1/2)`, `x_1`."""
    closing = matching_brackets(text)
    insert: dict[int, str] = {}
    replace: dict[int, str] = {}
    for match in re.finditer(r"\\(?:frac|binom|sqrt)(?![a-zA-Z])|[\^_]", text):
        position = match.end()
        command = match[0]
        for _ in range(ARGUMENT_COUNT[command]):
            position = skip_optional(text, position, closing, command)
            start, end, braced = argument(text, position, closing, command)
            if start == end:
                break
            if not braced:
                if text[start] == "(" and text[end - 1] == ")" and command != "\\frac":
                    replace[start], replace[end - 1] = "{", "}"
                else:
                    insert[start] = insert.get(start, "") + "{"
                    insert[end] = "}" + insert.get(end, "")
            position = end
    if not insert and not replace:
        return text
    pieces = [insert.get(i, "") + replace.get(i, character) for i, character in enumerate(text)]
    return "".join(pieces) + insert.get(len(text), "")


def skip_optional(text: str, position: int, closing: dict[int, int], command: str) -> int:
    while position < len(text) and text[position] == " ":
        position += 1
    if command == "\\sqrt" and position < len(text) and text[position] == "[" and position in closing:
        return skip_optional(text, closing[position] + 1, closing, "")
    return position


def argument(text: str, start: int, closing: dict[int, int], command: str) -> tuple[int, int, bool]:
    """Start and end of the argument that begins at `start`, and whether it already has braces."""
    if start >= len(text):
        return start, start, False
    if text[start] == "{":
        return start, closing.get(start, start - 1) + 1, True
    if text[start] == "(" and start in closing and command in ("\\sqrt", "^"):
        return start, closing[start] + 1, False
    run = re.compile(r"-?\d+(?:\.\d+)?" if command == "^" else r"\d+").match(text, start)
    if run is not None and command in ("^", "\\sqrt", "_"):
        lone_base = command == "_" and text[max(0, start - 6) : start].rstrip("_ ").endswith("log")
        bare_end = run.end() >= len(text) or text[run.end()] not in "({ \\xyabtn"
        return start, start + 1 if lone_base and bare_end and run[0] != "10" else run.end(), False
    name = re.compile(r"-?\\[a-zA-Z]+|-[a-zA-Z]").match(text, start)
    if name is None:
        return start, start + 1, False
    end = name.end()
    groups = {"\\frac": 2, "\\sqrt": 1, "\\text": 1}.get(name[0].lstrip("-"), 0)
    for _ in range(groups):
        end = skip_optional(text, end, closing, name[0])
        if end < len(text) and text[end] == "{" and end in closing:
            end = closing[end] + 1
    return start, end, False
