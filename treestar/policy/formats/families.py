"""Families of public models: what each wants to be asked, and which sampling its makers recommend.

A family is recognized from the model's own files: its chat template, and where that does not tell, its name. Sources of
the prompts and settings: the model cards and the evaluation code of each family (docs/guides/models.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from treestar.policy.formats.step_format import FormatName

__all__ = ["BOXED_WITH_PROGRAMS", "FAMILIES", "INSTRUCT", "Family", "family_named", "family_of"]

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
BOXED_WITH_PROGRAMS = (
    "Please integrate natural language reasoning with programs to solve the problem above, and put your final answer "
    "within \\boxed{}."
)
STEPS = """Solve the following math problem efficiently and clearly:

- For simple problems (2 steps or fewer):
Provide a concise solution with minimal explanation.

- For complex problems (3 steps or more):
Use this step-by-step format:

## Step 1: [Concise description]
[Brief explanation and calculations]

## Step 2: [Concise description]
[Brief explanation and calculations]

...

Regardless of the approach, always conclude with:

Therefore, the final answer is: $\\boxed{answer}$. I hope it is correct.

Where [answer] is just the final number or expression that solves the problem."""
"""The prompt of search-and-learn (Beeching et al. 2024), made for Llama 3."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models."""

    name: str
    format: FormatName = "cot"
    """How its models write unless asked otherwise."""
    instruction: str = BOXED
    role: Literal["system", "user"] = "user"
    """Where the instruction goes: into a system message, or after the problem."""
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0.8})
    """Recommended sampling, by the names of `Recommended`; a model's generation_config overrides it."""
    greedy: bool = True
    """False if its makers advise against greedy decoding."""
    templates: str = r"(?!)"
    """Found in its chat template (a regular expression)."""
    names: str = r"(?!)"
    """Found in its model's name, case-insensitively. Used where no template is known, as for a server's model."""


THINKING: Mapping[str, Any] = {"temperature": 0.6, "top_p": 0.95}

BARE_R1 = r"\A(?![\s\S]*\bthinking\b)(?=[\s\S]*\.split\('</think>'\))[\s\S]*<｜Assistant｜>"
"""DeepSeek-R1-0528: its template leaves the thought's beginning to the model, and only drops earlier thoughts. Those of
models that can do both have a variable `thinking` (V3.1)."""

FAMILIES = (
    Family(
        name="gpt-oss", format="thinking", sampling={"temperature": 1.0}, templates=r"<\|channel\|>", names=r"gpt-oss"
    ),
    Family(
        name="qwen2.5-math",
        role="system",
        sampling={"temperature": 0.7, "top_p": 0.8},
        templates=r"<\|im_start\|>[\s\S]*\\boxed",
        names=r"qwen2\.5-math",
    ),
    Family(
        name="qwen3-instruct",
        sampling={"temperature": 0.7, "top_p": 0.8, "top_k": 20},
        names=r"qwen3.*(instruct|coder)",
    ),
    Family(
        name="qwen3",
        format="thinking",
        sampling={**THINKING, "top_k": 20},
        greedy=False,
        templates=r"<\|im_start\|>[\s\S]*enable_thinking",
        names=r"qwen3|qwq",
    ),
    Family(
        name="deepseek-r1",
        format="thinking",
        sampling=THINKING,
        greedy=False,
        templates=r"<｜Assistant｜>(?:\\n)?<think>|" + BARE_R1,
        names=r"deepseek-r1|r1-distill|deepseek-reasoner",
    ),
    Family(
        name="phi-4-reasoning",
        format="thinking",
        sampling={"temperature": 0.8, "top_p": 0.95},
        templates=r"Your name is Phi, an AI math expert",
        names=r"phi-?4.*reasoning",
    ),
    Family(
        name="magistral",
        format="thinking",
        sampling={"temperature": 0.7, "top_p": 0.95},
        templates=r"\[THINK\]",
        names=r"magistral",
    ),
    Family(name="deepseek", sampling={"temperature": 0.7}, templates=r"<｜User｜>", names=r"deepseek"),
    Family(
        name="llama-3",
        instruction=STEPS,
        role="system",
        sampling={"temperature": 0.8},
        templates=r"<\|start_header_id\|>",
        names=r"llama-?3",
    ),
    Family(
        name="gemma",
        sampling={"temperature": 1.0, "top_p": 0.95, "top_k": 64},
        templates=r"<start_of_turn>",
        names=r"gemma",
    ),
    Family(name="smollm3", format="thinking", sampling=THINKING, templates=r"Reasoning Mode", names=r"smollm3"),
    Family(name="smollm2", templates=r"named SmolLM, trained by Hugging Face", names=r"smollm2"),
    Family(name="mistral", sampling={"temperature": 0.7}, templates=r"\[INST\]", names=r"mistral|mathstral|mixtral"),
)
"""In order of recognition: a special one before the general one."""

INSTRUCT = Family(name="instruct")
"""A model that is none of these and has a chat template."""

THINKS = Family(
    name="thinking",
    format="thinking",
    sampling=THINKING,
    names=r"thinking|thinker|think\b|(?<!non-)reason|exaone-deep|\bglm-(z1|4\.[5-9]|5)|minimax-m\d|(^|/)(o[134]\b|gpt-5|gemini-(2\.5|[3-9]))",
)
"""A model that is none of these and whose chat template begins or names a thought, or whose name says so: OpenAI's
thoughts are hidden, but take their part of the tokens."""


def family_of(template: str | None, name: str = "") -> Family:
    """The family of a model with the chat template `template` (its text) and the name `name`."""
    if template is None:
        return family_named(name)
    for family in FAMILIES:
        if re.search(family.templates, template):
            return family
    if re.search(r"<think>|enable_thinking", template):
        return THINKS
    named = family_named(name)
    return named if named.format == "cot" else INSTRUCT


def family_named(name: str) -> Family:
    """The family of a model of which only the name is known; `instruct` if the name does not tell."""
    return next((each for each in (*FAMILIES, THINKS) if re.search(each.names, name, re.IGNORECASE)), INSTRUCT)
