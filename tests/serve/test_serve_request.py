"""Parsing of requests and the text of responses, without a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.search import GreedyConfig, MajorityConfig, MCTSConfig, SearchConfig, SearchResult, SearchStats
from treestar.search.result import TrajectoryStep
from treestar.serve.errors import RequestError
from treestar.serve.request import Defaults, SearchRequest, read_request
from treestar.serve.response import cut_before, finish_reason, solution
from treestar.types import Problem

SERVED = MCTSConfig(max_rollouts=8, max_generated_tokens=1000, max_wall_seconds=60, max_step_tokens=99)


def read(search: SearchConfig = SERVED, **fields: Any) -> SearchRequest:
    body = {"model": "treestar", "messages": [{"role": "user", "content": "What is 1 + 1?"}], **fields}
    return read_request(json.dumps(body).encode(), Defaults(search, seed=3, has_scorer=False))


def test_a_request_that_asks_for_nothing_gets_the_servers_search() -> None:
    request = read()
    assert request.config == SERVED
    assert request.seed == 3
    assert request.problem.question == "What is 1 + 1?"
    assert (request.stream, request.include_usage, request.stop, request.not_used) == (False, False, (), ())


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 50, "max_tokens": 70}, 50),
        ({"max_tokens": 50, "treestar": {"max_generated_tokens": 20}}, 20),
        ({"max_tokens": 5000}, 1000),
        ({"treestar": {"max_generated_tokens": 5000}}, 1000),
        ({"treestar": {"max_generated_tokens": None}}, 1000),
    ],
)
def test_the_smallest_budget_holds(fields: dict[str, Any], tokens: int) -> None:
    assert read(**fields).config == replace(SERVED, max_generated_tokens=tokens)


def test_null_asks_for_nothing() -> None:
    request = read(treestar=None, stream_options={"include_usage": None})
    assert (request.config, request.include_usage) == (SERVED, False)


def test_a_warm_up_is_a_wave_too() -> None:
    with pytest.raises(RequestError, match="warmup is 10,000,000, more than 4,096 at the same time"):
        read(treestar={"strategy": "deepconf", "warmup": 10_000_000, "samples": 10_000_000})


def test_a_server_without_budgets_takes_those_of_the_request() -> None:
    assert read(MCTSConfig(), max_tokens=50, treestar={"max_wall_seconds": 2}).config == MCTSConfig(
        max_generated_tokens=50, max_wall_seconds=2
    )


def test_another_strategy_has_its_own_defaults_and_the_servers_budgets() -> None:
    config = read(temperature=0.7, treestar={"strategy": "majority", "samples": 5}).config
    assert config == MajorityConfig(
        samples=5, temperature=0.7, max_generated_tokens=1000, max_wall_seconds=60, max_step_tokens=99
    )


def test_sampling_fields_and_seeds() -> None:
    request = read(temperature=0.6, top_p=0.9, seed=11)
    assert request.config == replace(SERVED, temperature=0.6, top_p=0.9)
    assert request.seed == 11
    assert read(seed=11, treestar={"seed": 12}).seed == 12
    assert read(seed=11, treestar={"seed": None}).seed == 11
    assert read(temperature=1, treestar={"temperature": 0.2}).config == replace(SERVED, temperature=0.2)


def test_greedy_takes_no_temperature() -> None:
    assert read(GreedyConfig(), temperature=0, top_p=0.5).config == GreedyConfig()
    with pytest.raises(RequestError, match="only temperature 0"):
        read(GreedyConfig(), temperature=1.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "tools": [], "tool_choice": "none", "logprobs": False, "presence_penalty": 0},
        {"user": "me", "metadata": {"run": "1"}, "response_format": {"type": "text"}},
        {"tools": None, "reasoning_effort": None, "stop": None, "stream": None, "seed": None},
        {"treestar": {"strategy": None, "seed": None}},
    ],
)
def test_fields_that_ask_for_nothing_are_taken(fields: dict[str, Any]) -> None:
    assert read(**fields).config == SERVED


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "What is 1 + 1?"}, "messages"),
        ({"messages": [{"role": "assistant", "content": "2"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "nobody", "content": "2"}]}, "messages.0.role"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"max_tokens": "50"}, "max_tokens"),
        ({"stop": 3}, "stop"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        ({"seed": 1.5}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"treestar": {"gold": True}}, "treestar.gold"),
        ({"treestar": {"max_rollouts": True}}, "treestar.max_rollouts"),
        ({"treestar": {"max_rollouts": 0}}, "treestar.max_rollouts"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"top_p": 0}, "top_p"),
        ({"temperature": float("inf")}, "temperature"),
        ({"treestar": {"rule": "best"}}, "treestar.rule"),
        ({"treestar": {"seed": "x"}}, "treestar.seed"),
        ({"treestar": {"strategy": "magic"}}, "treestar.strategy"),
        ({"treestar": {"strategy": ["mcts"]}}, "treestar.strategy"),
        ({"treestar": {"children": 10**6}}, "treestar"),
        ({"treestar": {"strategy": "majority", "in_flight": 10**6}}, "treestar"),
    ],
)
def test_wrong_requests_name_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        read(**fields)
    assert refused.value.status == 400
    assert refused.value.param == param
    assert "Config" not in refused.value.message


def test_a_setting_of_the_search_beside_treestar_is_said_to_belong_into_it() -> None:
    with pytest.raises(RequestError, match=r"top_k here; give it in `treestar`: \{'top_k': ...\}"):
        read(top_k=20)
    assert read(treestar={"top_k": 20}).config == replace(SERVED, top_k=20)


def test_a_misspelled_field_is_told_what_was_probably_meant() -> None:
    with pytest.raises(RequestError, match="temperatur here; did you mean temperature"):
        read(temperatur=1)
    with pytest.raises(RequestError, match=r"has no max_rollout: did you mean max_rollouts.* it has .*children"):
        read(treestar={"max_rollout": 2})


def test_a_server_may_be_wider_than_requests_may_make_it() -> None:
    wide = MCTSConfig(children=5000)
    assert read(wide).config == wide
    with pytest.raises(RequestError):
        read(wide, treestar={"children": 5001})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("messages", "max_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options", "n", "tools")
SEARCH_NAMES = (
    "strategy",
    "seed",
    "max_rollouts",
    "children",
    "in_flight",
    "max_wall_seconds",
    "rule",
    "early_stop",
    "gold",
)


@given(
    st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4),
    st.dictionaries(st.sampled_from(SEARCH_NAMES), JSON, max_size=4),
)
def test_any_request_is_read_or_refused(fields: dict[str, Any], search: dict[str, Any]) -> None:
    try:
        config = read(**fields, treestar=search).config
    except RequestError as refused:
        error = refused
    else:
        assert config.max_generated_tokens is not None
        assert config.max_generated_tokens <= 1000
        assert config.max_wall_seconds is not None
        assert config.max_wall_seconds <= 60
        return
    assert error.status == 400
    json.dumps(error.to_json())


@given(st.binary(max_size=40))
def test_any_body_is_refused_as_the_clients_fault(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        read_request(body, Defaults(SERVED, 0, False))
    assert refused.value.status == 400


def result(*steps: TrajectoryStep, answer: str | None, stopped: str = "decided") -> SearchResult:
    return SearchResult(Problem("?"), answer, 1.0, None, steps, SearchStats(), stopped)


def test_a_solution_reads_like_one() -> None:
    code = TrajectoryStep("x = 6 * 7\nprint(x)", "x = 6 * 7\nprint(x)", "42\n", 1.0, 1, None)
    words = TrajectoryStep("So there are \\boxed{42} of them.", "", "", 1.0, 1, None)
    assert "".join(solution(result(code, words, answer="42"))) == (
        "```python\nx = 6 * 7\nprint(x)\n```\n```output\n42\n```\n\n"
        "So there are \\boxed{42} of them.\n\n"
        "The answer is \\boxed{42}"
    )


def test_prose_around_a_program_is_shown() -> None:
    prose = "We multiply:\n```python\nprint(6 * 7)\n```\n"
    step = TrajectoryStep(prose, "print(6 * 7)\n", "42\n", 1.0, 1, None)
    assert solution(result(step, answer="42"))[0] == f"{prose}```output\n42\n```\n\n"


@pytest.mark.parametrize(
    ("answer", "stopped", "reason"),
    [
        ("1", "decided", "stop"),
        ("1", "max_generated_tokens", "stop"),
        (None, "exhausted", "stop"),
        (None, "max_generated_tokens", "length"),
        (None, "max_wall_seconds", "length"),
        (None, "finished", "length"),
        (None, "interrupted", "length"),
    ],
)
def test_why_it_ended(answer: str | None, stopped: str, reason: str) -> None:
    assert finish_reason(result(answer=answer, stopped=stopped)) == reason


@given(st.lists(st.text("ab", max_size=4), max_size=5), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3))
def test_text_ends_before_the_first_stop_string(pieces: list[str], stops: list[str]) -> None:
    text, kept = "".join(pieces), "".join(cut_before(pieces, stops))
    assert text.startswith(kept)
    assert not any(stop in kept for stop in stops)
    assert kept == text or any(text.startswith(stop, len(kept)) for stop in stops)


def read_thinking(search: SearchConfig = SERVED, **fields: Any) -> SearchConfig:
    body = {"model": "treestar", "messages": [{"role": "user", "content": "What is 1 + 1?"}], **fields}
    return read_request(json.dumps(body).encode(), Defaults(search, 3, has_scorer=False, thinks=True)).config


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"reasoning_effort": "none"}, 0),
        ({"reasoning_effort": "low"}, 1024),
        ({"thinking_token_budget": 77}, 77),
        ({"treestar": {"max_thinking_tokens": 50}, "reasoning_effort": "high"}, 50),
        ({"reasoning_effort": "high"}, 2000),
        ({}, 2000),
    ],
)
def test_a_request_lowers_the_servers_thinking_budget(fields: dict[str, Any], tokens: int) -> None:
    served = replace(SERVED, max_thinking_tokens=2000)
    assert read_thinking(served, **fields) == replace(SERVED, max_thinking_tokens=tokens)


def test_waits_and_minimum_are_settings_of_the_search() -> None:
    config = read_thinking(treestar={"waits": 2, "min_thinking_tokens": 30, "strategy": "majority"})
    assert (config.waits, config.min_thinking_tokens, config.max_thinking_tokens) == (2, 30, None)


@pytest.mark.parametrize("fields", [{"thinking_token_budget": 5}, {"treestar": {"waits": 1}}])
def test_a_model_that_does_not_think_has_no_thinking_budget(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="the model of this server does not think"):
        read(**fields)
