"""The words that announce, correct or end an answer, in many languages."""

from __future__ import annotations

import re

from treestar.verifier.extraction.wording import SO, any_of, worded

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


def announced(nouns: str, verbs: str, adjectives: str = "", marks: str = r"\s*[:=]") -> str:
    """The source of an expression for what comes before a value in a group of languages."""
    described = f"(?: (?:{adjectives}))?" if adjectives else ""
    return any_of(rf"\b(?:{nouns}){described}(?: (?:{verbs})\b\s*:?|{marks})")


MARKDOWN = r"(?:\*\*|__)?"
LANGUAGES = (
    # English: The final answer is 5; **Answer:** 5; the result of 3 + 2 is 5
    rf"\b(?:final[\s_]+)?(?:answer|result|ans)\b{MARKDOWN}(?: (?:to|for|of)\s[^.\n$]{{0,80}}?)?(?: is\b\s*:?|\s*[:=])",
    rf"\bcorrect (?:option|choice)\s*(?:is\b\s*:?|:)(?=\s*{MARKDOWN}\(?(?-i:[A-J])\b)",  # The correct option is B
    # Spanish, French, Portuguese, Italian: La respuesta final es 5
    announced(
        nouns="respuesta|réponse|resposta|risposta|r[eé]sultat|resultado|risultato|soluci[oó]n|solução|soluzione",
        adjectives="final|finale|correcta|correcte|corretta|correta",
        verbs="es|est|é|è",
    ),
    # German, Dutch, Danish, Swedish: Das Ergebnis lautet 5
    announced(nouns="antwort|endergebnis|ergebnis|lösung|antwoord|svar|svaret", verbs="ist|lautet|beträgt|is|er|är"),
    # Russian, Ukrainian, Polish, Czech, Bulgarian: Ответ — 5
    announced(
        nouns="ответом|ответ|результат|відповідь|odpowiedź|odpověď|отговор",
        verbs="равен|есть|является|это|to|je|е",
        marks=r"\s*[:=]| [-—–]",
    ),
    # Chinese: 最终答案是5
    r"(?:最终|最後|最终的|正确)?(?:答案|答覆|结果|結果|得数)(?:应该|應該|应|应当)?(?:是|为|為|等于|:)\s*:?",
    r"答\s*:",  # 答: 5
    r"故?选\s*:?\s*(?=[A-J])",  # 故选 B
    r"(?:最終的な)?(?:答え|解答|正解|答)(?:は|:)\s*[、:]?",  # Japanese: 答えは5
    r"(?:정답|답변|답)\s*(?:은|:)\s*",  # Korean: 정답은 5
    r"\b(?:jibu ni|jibu\s*:"  # Swahili: Jibu ni 5
    r"|cevap\s*:"  # Turkish: Cevap: 5
    r"|đáp (?:án|số)\s*(?:là|:)"  # Vietnamese: Đáp án là 5
    r"|jawaban(?:nya)?\s*(?:adalah|:))",  # Indonesian: Jawabannya adalah 5
    r"(?:คำตอบ)\s*(?:คือ|:)?",  # Thai: คำตอบคือ 5
    r"(?:উত্তর)\s*(?:হল|হলো|:|=)?",  # Bengali: উত্তর হল 5
    r"(?:उत्तर)\s*(?:है|:)?",  # Hindi: उत्तर: 5
    r"(?:సమాధానం)\s*:?",  # Telugu: సమాధానం: 5
    r"(?:الإجابة|الجواب)\s*(?:هي|هو|:)",  # Arabic: الإجابة هي 5
)
ANSWER_PHRASE = worded(
    r"(?m:^|(?<=\s))####(?!#)\s*",  # GSM8K: #### 5
    r"<answer>\s*",  # <answer>5</answer>
    rf"{any_of(*LANGUAGES)}\s*{MARKDOWN}\s*",
)
"""What a reply says right before its final answer."""
RESULT_PHRASE = worded(r"result\b")
"""The beginning of a phrase that may also be about the result of one step."""
ANSWER_FIELD = re.compile(
    r"""(['"])(?:final[_ ]?)?answer\1\s*:\s*(?:(['"])(?P<text>(?:[^"'\\\n]|\\.)*)\2"""
    r"""|(?P<number>-?[\d.]+|true|false))\s*[,}]"""
)
"""The answer of a reply in JSON: `{"answer": 5}`."""

CLOSING_REMARK = re.compile(
    r"I hope (?:it|this) is correct|</answer>"
    r"|<\|(?:im_start|im_end|endoftext|eot_id|end|return|end_of_text|end▁of▁sentence)\|>|<｜end▁of▁sentence｜>"
    r"|</s>|<eos>|<end_of_turn>|<end_of_step>",
    re.IGNORECASE,
)
THOUGHT_END = re.compile(
    r"</(?:think|thinking|thought|reasoning|seed:think)>"  # most models
    r"|\[/THINK\]"  # Magistral
    r"|<\|(?:end_of_thought|END_THINKING)\|>"  # Sky-T1, Command A
    r"|<\|channel\|>final<\|message\|>"  # gpt-oss
    r"|<channel\|>"  # Gemma 4
)
"""How a thought ends."""

LINE = r"^[\x20\t]*"
FURTHER_QUESTION = worded(
    # **Question 2**; Human: What is 3 + 3?; Exercise 5. Find z.
    rf"{LINE}(?:#{{1,3}}\s*|\*\*)?(?:(?:new|next|another|similar) )?"
    r"(?:problem|question|exercise|task|example|instruction|user|human|q)(?:(?:\s*\d{1,3})?\s*(?::|\*\*)| \d{1,3}\.\s)",
    r"^#{1,4}[\x20\t]*(?:problem|question|exercise)(?: \d{1,3})?[\x20\t]*$",  # ## Problem 2
    rf"{LINE}(?:#{{1,3}}\s*|\*\*)?"
    r"(?:pregunta|problema|frage|aufgabe|exercice|problème|вопрос|задача)(?: \d{1,3})?\s*:",  # Aufgabe 2:
    rf"{LINE}(?:问题|題目|题目|問題|问)\s*\d{{0,3}}\s*:",  # 问题2:
    flags=re.IGNORECASE | re.MULTILINE,
)
"""The start of another question. A base model invents some after it has answered the one it was asked."""

CORRECTION = worded(
    r"\b(?:wait|actually|no|not|instead|rather|correct(?:ion|ed|ing|ly)?|sorry|oops|hmm+|mistake|mistaken|wrong|error"
    r"|check|checking|rechecking|recheck|verify|verifying|but|however|again|should be|revis\w+|final|nein|non|нет"
    r"|i\.?\s?e\b|that is|which (?:is|equals)|equivalent(?:ly)?|equals?|simpl(?:y|if\w+)|reduc\w+|in other words"
    rf"|meaning|perdón|{SO}|then)\b|=|\\Rightarrow|\\implies|⇒|→|不对|不是|应该"
)
"""Between two boxes: the second one replaces the first, or says the same in other words."""
APPROXIMATION = worded(r"≈|\\approx|\b(?:approximately|about|roughly|numerically)\b")
"""Between two boxes: the first one is the exact answer."""

BLANK = r"(?:your|the|my|insert|put|enter|write|place|final|numerical|correct|actual|only|an|a)"
PLACEHOLDER = worded(
    r"(?:\\text\{|\\mathrm\{)?[\s\[<({_*]*(?:"
    rf"(?:{BLANK}[\s_\\]+)*(?:answer|solution|result|response)(?:[\s_]+(?:here|goes here|in here|as an? \w+))?"
    r"|(?:your|insert|enter|put)[\s_]+\w{1,20}(?:[\s_]+\w{1,20})?"  # insert number
    r"|\\[lc]?dots|\.{2,}|…|\\square|\\Box|\?{1,3}|_+)?[\s\])}>_*.]*"
)
"""The content of a box that only shows where an answer goes."""

CONNECTIVE = worded(
    rf"\s*(?:{SO}|then|we (?:get|have|obtain|find|see)|this (?:gives|is|means)|which (?:is|gives)|it (?:is|follows)"
    r"|there (?:is|are)|that is|finally|consequently|donc|por (?:lo )?tanto)\b"
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
