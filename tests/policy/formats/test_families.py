"""Recognition of models from their own files: real chat templates of public models, on a real tokenizer."""

from __future__ import annotations

import copy
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest
from support.paths import SHARED, needs_shared
from support.tiny_model import tiny_model

from treestar.policy.formats import family_named, step_format_for
from treestar.policy.formats.families import BOXED, STEPS, family_of
from treestar.types import Problem, State

QUESTION = Problem("What is 2 + 2?")


def template(name: str) -> str:
    pytest.importorskip("trl", reason="TRL, which has the public chat templates, is not installed")
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def config(name: str = "", context: int = 4096) -> Any:
    return SimpleNamespace(max_position_embeddings=context, _name_or_path=name)


# Template, name, what is recognized, the format, the temperature, and how the prompt ends.
PUBLIC = [
    ("qwen2_5", "Qwen/Qwen2.5-7B-Instruct", "instruct", "cot", 0.8, "<|im_start|>assistant\n"),
    ("qwen3", "Qwen/Qwen3-8B", "qwen3", "thinking", 0.6, "<|im_start|>assistant\n"),
    ("qwen3_instruct_2507", "Qwen/Qwen3-4B-Instruct-2507", "qwen3-instruct", "cot", 0.7, "<|im_start|>assistant\n"),
    ("qwen3_5_think", "Qwen/Qwen3.5-4B", "qwen3", "thinking", 0.6, "<|im_start|>assistant\n<think>\n"),
    ("llama3_1", "meta-llama/Llama-3.1-8B-Instruct", "llama-3", "cot", 0.8, "assistant<|end_header_id|>\n\n"),
    ("llama3_2", "meta-llama/Llama-3.2-1B-Instruct", "llama-3", "cot", 0.8, "assistant<|end_header_id|>\n\n"),
    ("gemma", "google/gemma-2-2b-it", "gemma", "cot", 1.0, "<start_of_turn>model\n"),
    ("gemma3", "google/gemma-3-1b-it", "gemma", "cot", 1.0, "<start_of_turn>model\n"),
    ("deepseek_r1_distill", "deepseek-ai/R1", "deepseek-r1", "thinking", 0.6, "<｜Assistant｜><think>\n"),
    ("gptoss", "openai/gpt-oss-20b", "gpt-oss", "thinking", 1.0, "<|start|>assistant"),
    ("phi3", "microsoft/Phi-3-mini", "instruct", "cot", 0.8, "<|assistant|>\n"),
    ("glm4moe", "zai-org/GLM-4.5", "thinking", "thinking", 0.6, "<|assistant|>"),
]


@needs_shared("tokenizers/qwen3")
@pytest.mark.parametrize(("name", "model", "family", "written", "temperature", "end"), PUBLIC)
def test_public_templates(name: str, model: str, family: str, written: str, temperature: float, end: str) -> None:
    tokenizer = qwen3()
    tokenizer.chat_template = template(name)
    chosen: Any = step_format_for(config(model), tokenizer)
    assert (chosen.family.name, chosen.name, chosen.recommended.temperature) == (family, written, temperature)
    prompt = chosen.prompt(State(QUESTION))
    assert prompt.endswith(end)
    assert QUESTION.question in prompt
    assert chosen.family.instruction in prompt


def test_a_model_with_several_templates_writes_as_its_default_one_says() -> None:
    """As Hermes and Command R, which have others for tools and documents."""
    tokenizer = copy.deepcopy(tiny_model()[1])
    tokenizer.chat_template = {
        "default": "{% for m in messages %}<start_of_turn>{{ m.content }}{% endfor %}<start_of_turn>model\n",
        "tool_use": "{{ raise_exception('no tools') }}",
    }
    tokenizer.get_vocab = lambda: {}  # the tiny model's tokenizer has the tags of rstar
    chosen: Any = step_format_for(config(), tokenizer)
    assert (chosen.name, chosen.family.name, chosen.code_format.is_base) == ("cot", "gemma", False)
    assert chosen.prompt(State(QUESTION)).startswith("<start_of_turn>What is 2 + 2?")


def qwen3() -> Any:
    from treestar.policy.models import load_tokenizer

    tokenizer = load_tokenizer(str(SHARED / "tokenizers" / "qwen3"))
    tokenizer.bos_token = "<|endoftext|>"  # some templates write it
    return tokenizer


@needs_shared("tokenizers/qwen3")
def test_the_format_decides_whether_a_model_thinks_that_can_do_both() -> None:
    tokenizer = qwen3()
    thinking = step_format_for(config(), tokenizer).prompt(State(QUESTION))
    plain = step_format_for(config(), tokenizer, "cot").prompt(State(QUESTION))
    assert plain == thinking + "<think>\n\n</think>\n\n"


DEEPSEEK = (
    "{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}<｜Assistant｜>"
    "{% set content = m.content.split('</think>')[-1] %}{{ content }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("ending", "family", "written"),
    [
        ("{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}", "deepseek-r1", "thinking"),
        ("{{ '<｜Assistant｜>' }}{% if not thinking %}{{ '</think>' }}{% endif %}", "deepseek", "cot"),
    ],
)
def test_a_deepseek_model_thinks_whose_template_only_drops_thoughts(ending: str, family: str, written: str) -> None:
    found = family_of(DEEPSEEK + ending)
    assert (found.name, found.format) == (family, written)


def test_llama_is_asked_as_search_and_learn_asks_it_and_others_for_a_box() -> None:
    assert family_of(template("llama3_1")).instruction == STEPS
    assert family_of(template("llama3_1")).role == "system"
    assert (family_of(template("gemma")).instruction, family_of(template("gemma")).role) == (BOXED, "user")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2.5-Math-7B-Instruct", "qwen2.5-math"),
        ("qwen3:8b", "qwen3"),
        ("Qwen3-30B-A3B-Instruct-2507", "qwen3-instruct"),
        ("deepseek-r1-distill-llama-8b", "deepseek-r1"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3"),
        ("gpt-oss:20b", "gpt-oss"),
        ("mistralai/Mathstral-7B-v0.1", "mistral"),
        ("gpt-4o-mini", "instruct"),
        ("magistral:24b", "magistral"),
        ("phi4-reasoning:14b", "phi-4-reasoning"),
        ("phi4:14b", "instruct"),
        ("deepseek-reasoner", "deepseek-r1"),
        ("qwen3-coder:30b", "qwen3-instruct"),
        ("zai-org/GLM-4.5-Air", "thinking"),
        ("chatglm-6b", "instruct"),
        ("allenai/Olmo-3-7B-Think", "thinking"),
        ("moonshotai/Kimi-K2-Thinking", "thinking"),
        ("gpt-5-mini", "thinking"),
        ("o3", "thinking"),
        ("gemini-2.5-pro", "thinking"),
        ("gemini-2.0-flash", "instruct"),
        ("grok-4-fast-non-reasoning", "instruct"),
    ],
)
def test_behind_a_server_the_name_tells(name: str, family: str) -> None:
    assert family_named(name).name == family


def test_the_models_own_sampling_comes_before_the_familys() -> None:
    import copy

    tokenizer = copy.deepcopy(tiny_model()[1])
    tokenizer.chat_template = template("gemma3")
    generation = SimpleNamespace(do_sample=True, temperature=0.3, top_p=None, top_k=7)
    chosen = step_format_for(config(), tokenizer, "cot", generation).recommended
    assert (chosen.temperature, chosen.top_p, chosen.top_k) == (0.3, 0.95, 7)
    greedy = SimpleNamespace(do_sample=False, temperature=0.3, top_p=None, top_k=7)
    assert step_format_for(config(), tokenizer, "cot", greedy).recommended.temperature == 1.0


def test_a_model_without_a_template_is_shown_examples_and_one_with_tags_writes_them() -> None:
    assert step_format_for(config(), tiny_model()[1]).name == "rstar"
    bare = SimpleNamespace(chat_template=None, get_vocab=dict)
    assert step_format_for(config(), bare).name == "chat"
