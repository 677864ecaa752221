"""Converts the body of a chat completions request to a search.

Unsupported requests are rejected, never ignored: an unknown field is an error unless its value has no effect (null or
the default).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from treestar.config.fields import field_types
from treestar.config.names import suggestion, unknown_name
from treestar.config.renamed import RENAMED, current_names, renaming
from treestar.config.values import read_value
from treestar.problems import as_problem
from treestar.search import STRATEGIES, SearchConfig
from treestar.search.engine import check_scorer, strategy_of
from treestar.serve.errors import RequestError, invalid
from treestar.types import Problem, Recommended

__all__ = ["MODEL", "Defaults", "SearchRequest", "read_request"]

MODEL = "treestar"
"""The name of a server's only model."""

WITHOUT_MEANING = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"})
"""Fields that do not affect the answer; any value is accepted."""

AS_USUAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "parallel_tool_calls": (False, True),
    "response_format": ({"type": "text"},),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
}
"""Fields that a search cannot honor, with their values that have no effect."""

CEILINGS = ("max_generated_tokens", "max_executed_seconds", "max_wall_seconds", "max_thinking_tokens")
"""Budgets that a request can lower, but not raise above the server's."""

EFFORTS = {"none": 0, "minimal": 256, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 65_536}
"""The tokens that each `reasoning_effort` lets a thought have."""

THINKING = ("reasoning_effort", "thinking_token_budget", "max_thinking_tokens", "min_thinking_tokens", "waits")
"""Fields that only a model which thinks can honor, of the request and of `treestar`."""

WIDTHS = ("children", "in_flight", "window", "beam_width", "subtrees")
"""Their product is the number of candidates in one wave."""

WIDEST_WAVE = 4096
"""Maximum number of concurrent candidates that a request can ask for, unless the server's own search has more."""

NOT_FOR_REQUESTS = frozenset({"gold"})
"""Fields of a search's configuration that do not apply: a request has no gold answer."""


SETTINGS = {each.name for config_class, _ in STRATEGIES.values() for each in fields(config_class)} - NOT_FOR_REQUESTS
"""Fields that `treestar` can have with some strategy."""


TYPE_NAME = re.compile(r"str|list\[\w+\]")
"""The types of fields that can have several, as they are called where an error occurred."""


class ContentPart(BaseModel):
    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None


class Message(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The fields of OpenAI's chat completions that apply to a search, and `treestar` for the other settings."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    thinking_token_budget: int | None = Field(default=None, ge=0)
    """vLLM's name of `max_thinking_tokens`."""
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    treestar: dict[str, Any] = {}
    """`strategy`, `seed`, and fields of the strategy's configuration; they override the fields above."""

    @field_validator("treestar", mode="before")
    @classmethod
    def null_asks_for_nothing(cls, value: Any) -> Any:
        return {} if value is None else value


@dataclass(frozen=True, slots=True)
class Defaults:
    """The server's own search: the default of each request."""

    search: SearchConfig
    seed: int
    has_scorer: bool
    thinks: bool = False
    """Whether the policy thinks before it answers."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """The search of one request."""

    problem: Problem
    config: SearchConfig
    seed: int
    stop: tuple[str, ...]
    """Stop strings: the answer's text ends before them."""
    stream: bool
    include_usage: bool
    """Whether the last chunk of a stream contains the usage."""
    not_used: tuple[str, ...]
    """Descriptions of the messages that the search ignores."""
    deprecated: tuple[str, ...] = ()
    """A warning for each setting that the request gives by its old name."""


def read_request(body: bytes, defaults: Defaults) -> SearchRequest:
    """The search for a request's body.

    Raises:
        RequestError: it is not a chat completions request, or asks for something unsupported.
    """
    try:
        chat = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise validation_error(error) from error
    check_supported(chat)
    check_thinking(chat, defaults)
    seed = chat.treestar.get("seed")
    seed = chat.seed if seed is None else seed
    return SearchRequest(
        problem=problem_of(chat),
        config=config_of(chat, defaults),
        seed=defaults.seed if seed is None else field_value(int, seed, "treestar.seed"),
        stop=tuple(each for each in ([chat.stop] if isinstance(chat.stop, str) else chat.stop or []) if each),
        stream=bool(chat.stream),
        include_usage=chat.stream_options is not None and bool(chat.stream_options.include_usage),
        not_used=messages_not_used(chat.messages),
        deprecated=tuple(renaming(name, RENAMED[name]) for name in chat.treestar if name in RENAMED),
    )


def check_supported(chat: ChatRequest) -> None:
    """Raises RequestError for another model, or a field that a search cannot honor."""
    if chat.model != MODEL:
        raise RequestError(
            404, f"model {chat.model!r} does not exist: the only model is {MODEL!r}", "model", "model_not_found"
        )
    for name, value in (chat.model_extra or {}).items():
        if value is None or name in WITHOUT_MEANING or value in AS_USUAL.get(name, ()):
            continue
        known = set(ChatRequest.model_fields) | SETTINGS
        instead = (
            f"give it in `treestar`: {{{name!r}: ...}}"
            if name in SETTINGS
            else f"{suggestion(name, known)}leave it out"
        )
        raise invalid(f"a search cannot honor {name} here; {instead}", name, "unsupported_parameter")


def check_thinking(chat: ChatRequest, defaults: Defaults) -> None:
    """Raises RequestError if the request limits thoughts and the policy has none."""
    asked = [name for name in THINKING if getattr(chat, name, None) is not None or name in chat.treestar]
    if asked and not defaults.thinks:
        raise invalid(
            f"a search cannot honor {asked[0]}: the model of this server does not think; leave it out",
            asked[0] if asked[0] not in chat.treestar else f"treestar.{asked[0]}",
            "unsupported_parameter",
        )


def problem_of(chat: ChatRequest) -> Problem:
    """The last message as a problem. Raises RequestError if it is not a question that can be searched."""
    place = len(chat.messages) - 1
    message = chat.messages[place]
    if message.role != "user":
        raise invalid(f"the last message must be the user's question, not the {message.role}'s", f"messages[{place}]")
    param = f"messages[{place}].content"
    for part in message.content if isinstance(message.content, list) else []:
        if part.type != "text":
            raise invalid(f"a search reads text, not {part.type}", param, "unsupported_content")
    try:
        return as_problem(Problem(text_of(message), id="question"), 0)
    except ValueError as error:
        raise invalid(str(error).partition(": ")[2], param) from error


def text_of(message: Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(part.text or "" for part in message.content)
    return message.content or ""


def messages_not_used(messages: list[Message]) -> tuple[str, ...]:
    instructions = sum(message.role in ("system", "developer") for message in messages)
    earlier = len(messages) - 1 - instructions
    counted = (("instruction", instructions), ("earlier message", earlier))
    return tuple(f"{number} {name}{'s' if number > 1 else ''}" for name, number in counted if number)


def config_of(chat: ChatRequest, defaults: Defaults) -> SearchConfig:
    """The configuration of the request's search, within the server's limits. Raises RequestError."""
    served, _ = strategy_of(defaults.search)
    given = current_names({name: value for name, value in chat.treestar.items() if name != "seed"})
    strategy = given.pop("strategy", None)
    strategy = served if strategy is None else strategy
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise invalid(unknown_name("strategy", str(strategy), STRATEGIES), "treestar.strategy")
    try:
        check_scorer(strategy, defaults.has_scorer)
    except ValueError as error:
        raise invalid(f"this server cannot run {strategy}: it has no PPM", "treestar.strategy") from error
    config = starting_point(strategy, defaults.search)
    known = {each.name for each in fields(config)} - NOT_FOR_REQUESTS
    kinds = field_types(type(config))
    for name, value in given.items():
        if name not in known:
            choices = f"{suggestion(name, sorted(known))}it has {', '.join(sorted(known))}"
            raise invalid(
                f"the strategy {strategy} has no {name}: {choices}", f"treestar.{name}", "unsupported_parameter"
            )
        given[name] = field_value(kinds[name], value, f"treestar.{name}")
    given = sampling_fields(chat, known) | given
    given |= ceilings(chat, given, config)
    try:
        config = replace(config, **given)
    except ValueError as error:
        field = re.match(rf"{type(config).__name__}\.(\w+)", str(error))
        param = f"treestar.{field[1]}" if field else "treestar"
        raise invalid(f"{param}{str(error)[field.end() :]}" if field else str(error), param) from error
    if wave(config) > max(WIDEST_WAVE, wave(defaults.search)):
        widest = getattr(config, "warmup", None) == wave(config)
        names = "warmup" if widest else " * ".join(name for name in WIDTHS if name in known)
        raise invalid(f"{names} is {wave(config):,}, more than {WIDEST_WAVE:,} at the same time", "treestar")
    return config


def starting_point(strategy: str, served: SearchConfig) -> SearchConfig:
    """The server's own search. For another strategy, its defaults with the server's limits on paths, tokens and time,
    which every strategy has. Rollouts of different strategies are not comparable."""
    config_class, _ = STRATEGIES[strategy]
    if type(served) is config_class:
        return served
    shared = {each.name for each in fields(SearchConfig)} - {"max_rollouts"}
    return config_class(**{name: getattr(served, name) for name in shared})


def sampling_fields(chat: ChatRequest, known: set[str]) -> dict[str, Any]:
    """OpenAI's sampling fields by the configuration's names. Raises RequestError if it does not have one."""
    if "temperature" not in known and chat.temperature:
        raise invalid("the strategy greedy supports only temperature 0", "temperature", "unsupported_value")
    asked = {"temperature": chat.temperature, "top_p": chat.top_p}
    return {name: value for name, value in asked.items() if value is not None and name in known}


def ceilings(chat: ChatRequest, given: Mapping[str, Any], config: SearchConfig) -> dict[str, Any]:
    """Each budget as the minimum of the server's and all that the request gives."""
    limits: dict[str, list[Any]] = {name: [getattr(config, name), given.get(name)] for name in CEILINGS}
    limits["max_generated_tokens"] += [chat.max_completion_tokens, chat.max_tokens]
    limits["max_thinking_tokens"] += [chat.thinking_token_budget, EFFORTS.get(chat.reasoning_effort or "")]
    smallest = {name: [limit for limit in of if limit is not None] for name, of in limits.items()}
    return {name: min(of) for name, of in smallest.items() if of}


def wave(config: SearchConfig) -> int:
    """Maximum number of candidates sampled at the same time."""
    config = config.completed(Recommended())
    width: int = max(prod(getattr(config, name, 1) for name in WIDTHS), getattr(config, "warmup", 1))
    return width


def field_value(kind: Any, value: Any, param: str) -> Any:
    """`value` as that type, with the rules of YAML files. Raises RequestError if it has another type."""
    try:
        return read_value(kind, value, param)
    except ValueError as error:
        raise invalid(str(error), param) from error


def validation_error(error: ValidationError) -> RequestError:
    """The first validation error, in OpenAI's format."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # Which of the types that a field can have was tried is no part of its name.
    parts = [str(part) for part in first["loc"] if not TYPE_NAME.fullmatch(str(part))]
    where = ".".join(parts) or None
    return invalid(f"{where or 'the body'}: {first['msg']}", where)
