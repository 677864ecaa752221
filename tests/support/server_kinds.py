"""Kinds of servers by what they refuse and do, and policies behind them, for tests of `OpenAIPolicy`."""

from __future__ import annotations

import asyncio
from typing import Any

from support.instruct_server import InstructServer, Refuse, unknown_fields
from support.served_policy import policy_at

from treestar.policy import OpenAIPolicy, StepFormat
from treestar.policy.backends.openai import template_at_the_server
from treestar.policy.formats import CotFormat, ThinkingFormat, TirFormat, family_named
from treestar.types import Execution, Problem, Sampling, State, Step

QUESTION = "What is 2 * (3 + 4)?"
REPLY = "First, \\boxed{3+4=7} is the inner sum.\n\nDoubling gives 14.\n\nThe final answer is \\boxed{14}."
GREEDY = Sampling(temperature=0.0, max_tokens=64)


def cot(model: str = "fake") -> CotFormat:
    return CotFormat(template_at_the_server, family_named(model))


def tir() -> TirFormat:
    return TirFormat(template_at_the_server, family_named("fake"))


def thinking(model: str = "qwen3") -> ThinkingFormat:
    return ThinkingFormat(template_at_the_server, family_named(model))


def policy_for(server: InstructServer, step_format: StepFormat | None = None, **more: Any) -> OpenAIPolicy:
    return policy_at(server.url, "fake", step_format=step_format or cot(), patience=5.0, **more)


def walk(policy: OpenAIPolicy, sampling: Sampling = GREEDY, printed: str = "") -> list[Step]:
    """The steps of one trajectory."""

    async def steps() -> list[Step]:
        state = State(Problem(QUESTION))
        while len(state.steps) < 20 and (not state.steps or state.steps[-1].ending in ("step", "code")):
            [step] = (await policy.propose(state, 1, sampling, 0)).steps
            execution = Execution(printed if step.code else "")
            state = State(state.problem, (*state.steps, step), (*state.executions, execution))
        await policy.close()
        return list(state.steps)

    return asyncio.run(steps())


def reply_of(steps: list[Step]) -> str:
    return "".join(step.text for step in steps)


def needs_no_thinking(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    if body["messages"][-1]["role"] != "assistant" or body.get("chat_template_kwargs") == {"enable_thinking": False}:
        return None
    return 400, "Assistant response prefill is incompatible with enable_thinking."


def not_both(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    both = body.get("continue_final_message") and body.get("add_generation_prompt", True)
    return (400, "Cannot set both `continue_final_message` and `add_generation_prompt` to True.") if both else None


def no_trailing_blanks(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    last = body["messages"][-1]
    ends_in_blanks = last["role"] == "assistant" and last["content"] != last["content"].rstrip()
    return (400, "messages: final assistant content cannot end with trailing whitespace") if ends_in_blanks else None


def no_prefill(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    sentence = "This model does not support assistant message prefill. The conversation must end with a user message."
    return (400, sentence) if body["messages"][-1]["role"] == "assistant" else None


FLAGS = unknown_fields("add_generation_prompt", "continue_final_message")

CONTINUING: dict[str, dict[str, Any]] = {
    "vLLM": {"needs": "continue_final_message", "stops": "named kept", "refuse": not_both},
    "vLLM, Llama 3": {"needs": "continue_final_message", "stops": "named kept", "trims": True},
    "vLLM, a parser of thoughts takes all": {"needs": "continue_final_message", "stops": "named", "misfiles": True},
    "SGLang": {"needs": "continue_final_message", "stops": "named"},
    "TGI": {"needs": "continue_final_message", "stops": "kept"},
    "llama.cpp": {},
    "llama.cpp, thinking": {"refuse": needs_no_thinking},
    "Ollama": {"stops": "unnamed"},
    "a server that ignores stop strings": {"stops": "ignored"},
    "a strict server": {"refuse": FLAGS, "stops": "named"},
    "Anthropic, before": {"refuse": no_trailing_blanks, "trims": True},
    "DeepSeek": {"needs": "prefix", "refuse": FLAGS},
    "Mistral": {"needs": "prefix", "refuse": FLAGS, "repeats": True},
    "min_tokens unknown": {
        "needs": "continue_final_message",
        "stops": "named",
        "trims": True,
        "refuse": unknown_fields("min_tokens"),
    },
}

NEW_REPLIES: dict[str, Refuse] = {
    "silently": lambda path, body: None,
    "OpenAI": unknown_fields("add_generation_prompt", "continue_final_message", "include_stop_str_in_output", "top_k"),
    "Anthropic": no_prefill,
}
