"""The words that announce, correct or end an answer, in many languages."""

from __future__ import annotations

import re

__all__ = [
    "ANSWER_FIELD",
    "ANSWER_PHRASE",
    "APPROXIMATION",
    "CALCULATION",
    "CLOSING_REMARK",
    "CONNECTIVE",
    "CORRECTION",
    "FURTHER_QUESTION",
    "OTHER_SCRIPT",
    "PLACEHOLDER",
    "RESULT_PHRASE",
    "THOUGHT_END",
    "last_match",
    "translated_marks",
    "without_pictures",
]

IS = r"(?:\s+is\b\s*:?|\s*:|\s*=)"
ENGLISH = rf"\b(?:final[\s_]+)?(?:answer|result|ans)\b(?:\*\*|__)?(?:\s+(?:to|for|of)\s[^.\n$]{{0,80}}?)?{IS}"
CHOICE = r"\bcorrect\s+(?:option|choice)\s*(?:is\b\s*:?|:)(?=\s*(?:\*\*|__)?\(?(?-i:[A-J])\b)"
ROMANCE = (
    r"\b(?:respuesta|réponse|resposta|risposta|r[eé]sultat|resultado|risultato|soluci[oó]n|solução|soluzione)"
    r"(?:\s+(?:final|finale|correcta|correcte|corretta|correta))?(?:\s+(?:es|est|é|è)\b\s*:?|\s*:|\s*=)"
)
GERMANIC = (
    r"\b(?:antwort|endergebnis|ergebnis|lösung|antwoord|svar|svaret)"
    r"(?:\s+(?:ist|lautet|beträgt|is|er|är)\b\s*:?|\s*:|\s*=)"
)
SLAVIC = (
    r"\b(?:ответом|ответ|результат|відповідь|odpowiedź|odpověď|отговор)"
    r"(?:\s+(?:равен|есть|является|это|to|je|е)\b\s*:?|\s*[:=]|\s+[-—–])"
)
CHINESE = (
    r"(?:最终|最後|最终的|正确)?(?:答案|答覆|结果|結果|得数)(?:应该|應該|应|应当)?(?:是|为|為|等于|:)\s*:?|答\s*:"
    r"|故?选\s*:?\s*(?=[A-J])"
)
JAPANESE = r"(?:最終的な)?(?:答え|解答|正解|答)(?:は|:)\s*[、:]?"
KOREAN = r"(?:정답|답변|답)\s*(?:은|:)\s*"
OTHERS = (
    r"\b(?:jibu\s+ni|jibu\s*:|cevap\s*:|đáp\s+(?:án|số)\s*(?:là|:)|jawaban(?:nya)?\s*(?:adalah|:))"
    r"|(?:คำตอบ)\s*(?:คือ|:)?|(?:উত্তর)\s*(?:হল|হলো|:|=)?|(?:उत्तर)\s*(?:है|:)?|(?:సమాధానం)\s*:?"
    r"|(?:الإجابة|الجواب)\s*(?:هي|هو|:)"
)
ANSWER_FIELD = re.compile(
    r"""(['"])(?:final[_ ]?)?answer\1\s*:\s*(?:(['"])(?P<text>(?:[^"'\\\n]|\\.)*)\2"""
    r"""|(?P<number>-?[\d.]+|true|false))\s*[,}]"""
)
"""The answer of a reply in JSON: `{"answer": 5}`."""
HASHES = r"(?m:^|(?<=\s))####(?!#)\s*"
TAG = r"<answer>\s*"

ANSWER_PHRASE = re.compile(
    rf"(?:{HASHES}|{TAG}|(?:{ENGLISH}|{CHOICE}|{ROMANCE}|{GERMANIC}|{SLAVIC}|{CHINESE}|{JAPANESE}|{KOREAN}|{OTHERS})"
    r"\s*(?:\*\*|__)?\s*)",
    re.IGNORECASE,
)
"""What a reply says right before its final answer."""
RESULT_PHRASE = re.compile(r"result\b", re.IGNORECASE)
"""The beginning of a phrase that may also be about the result of one step."""

CLOSING_REMARK = re.compile(
    r"I hope (?:it|this) is correct|</answer>"
    r"|<\|(?:im_start|im_end|endoftext|eot_id|end|return|end_of_text|end▁of▁sentence)\|>|<｜end▁of▁sentence｜>"
    r"|</s>|<eos>|<end_of_turn>|<end_of_step>",
    re.IGNORECASE,
)

THOUGHT_END = re.compile(
    r"</(?:think|thinking|thought|reasoning|seed:think)>|\[/THINK\]|<\|(?:end_of_thought|END_THINKING)\|>"
    r"|<\|channel\|>final<\|message\|>|<channel\|>"
)
"""How a thought ends: as most models write it, Magistral, Sky-T1 and Command A; the channels of gpt-oss and Gemma 4."""

FURTHER_QUESTION = re.compile(
    r"^[ \t]*(?:#{1,3}\s*|\*\*)?(?:(?:new|next|another|similar)\s+)?"
    r"(?:problem|question|exercise|task|example|instruction|user|human|q)(?:(?:\s*\d{1,3})?\s*(?::|\*\*)|\s+\d{1,3}\.\s)"
    r"|^#{1,4}[ \t]*(?:problem|question|exercise)(?:\s+\d{1,3})?[ \t]*$"
    r"|^[ \t]*(?:#{1,3}\s*|\*\*)?(?:pregunta|problema|frage|aufgabe|exercice|problème|вопрос|задача)(?:\s+\d{1,3})?\s*:"
    r"|^[ \t]*(?:问题|題目|题目|問題|问)\s*\d{0,3}\s*:",
    re.IGNORECASE | re.MULTILINE,
)
"""The start of another question. A base model invents some after it has answered the one it was asked."""

CORRECTION = re.compile(
    r"\b(?:wait|actually|no|not|instead|rather|correct(?:ion|ed|ing|ly)?|sorry|oops|hmm+|mistake|mistaken|wrong|error"
    r"|check|checking|rechecking|recheck|verify|verifying|but|however|again|should\s+be|i\.?\s?e\b|that\s+is|which\s+(?:is|equals)"
    r"|equivalent(?:ly)?|equals?|simpl(?:y|if\w+)|reduc\w+|in\s+other\s+words|so|therefore|thus|hence|then|revis\w+|meaning"
    r"|final|nein|non|нет|perdón)\b|=|\\Rightarrow|\\implies|⇒|→|不对|不是|应该",
    re.IGNORECASE,
)
"""Between two boxes: the second one replaces the first, or says the same in other words."""
APPROXIMATION = re.compile(r"≈|\\approx|\b(?:approximately|about|roughly|numerically)\b", re.IGNORECASE)
"""Between two boxes: the first one is the exact answer."""

PLACEHOLDER = re.compile(
    r"(?:\\text\{|\\mathrm\{)?[\s\[<({_*]*"
    r"(?:(?:(?:your|the|my|insert|put|enter|write|place|final|numerical|correct|actual|only|an|a)[\s_\\]+)*"
    r"(?:answer|solution|result|response)(?:[\s_]+(?:here|goes\s+here|in\s+here|as\s+an?\s+\w+))?"
    r"|(?:your|insert|enter|put)[\s_]+\w{1,20}(?:[\s_]+\w{1,20})?"
    r"|\\[lc]?dots|\.{2,}|…|\\square|\\Box|\?{1,3}|_+)?[\s\])}>_*.]*",
    re.IGNORECASE,
)
"""The content of a box that only shows where an answer goes."""

CONNECTIVE = re.compile(
    r"\s*(?:so|thus|hence|therefore|then|we\s+(?:get|have|obtain|find|see)|this\s+(?:gives|is|means)|which\s+(?:is|gives)|"
    r"it\s+(?:is|follows)|there\s+(?:is|are)|that\s+is|finally|consequently|donc|por\s+(?:lo\s+)?tanto)\b",
    re.IGNORECASE,
)
"""The beginning of a closing sentence, however short it is."""

CALCULATION = re.compile(r"<<[^<>\n]{0,200}>>")
"""GSM8K's notes for a calculator."""

OTHER_SCRIPT = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0400-\u04ff\u0e00-\u0e7f\u0900-\u0dff\u0590-\u06ff]"
)
"""A letter of a script that formulas do not use."""

ZEROS = (0xFF10, 0x0660, 0x06F0, 0x0966, 0x09E6, 0x0C66, 0x0E50)
"""The zeros of full-width, Arabic, Persian, Devanagari, Bengali, Telugu and Thai digits."""
MARKS = str.maketrans(
    {
        "：": ": ", "，": ", ", "。": ". ", "；": "; ", "（": "(", "）": ")", "【": "[", "】": "]",
        "！": "! ", "？": "? ",
        "、": ", ", "।": ". ", "＝": "=", "％": "%", "＄": "$", "＋": "+", "／": "/", "．": ".",
        "＜": "<", "＞": ">", "～": "~",
        **{chr(zero + digit): str(digit) for zero in ZEROS for digit in range(10)},
        "\u200b": "", "\ufeff": "", "\ufe0f": "", "\u200d": "", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
    }
)  # fmt: skip
PICTURES = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]+")


def translated_marks(text: str) -> str:
    """`text` with foreign punctuation and digits in their ASCII forms, and without pictures such as check marks."""
    if text.isascii():
        return text
    return PICTURES.sub(" ", text.translate(MARKS))


PICTURES_IN_CODE = (("[asy]", "[/asy]"), ("\\begin{tikzpicture}", "\\end{tikzpicture}"))


def without_pictures(text: str) -> str:
    """`text` without the code of drawings, whose coordinates are not answers."""
    for opening, closing in PICTURES_IN_CODE:
        before, *drawn = text.split(opening)
        text = before + "".join(part.partition(closing)[2] if closing in part else opening + part for part in drawn)
    return text


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match of `pattern` in `text`."""
    last = None
    for match in pattern.finditer(text):
        last = match
    return last
