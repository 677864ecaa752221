"""What `treestar solve` says of an answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from rich.console import Console
from support.scripted import ScriptedPolicy, components

from treestar.cli.show import SearchDisplay, result_view
from treestar.search import MajorityConfig, MCTSConfig, SearchConfig, SearchResult, TrajectoryStep, search_one
from treestar.types import ContextOverflow, Problem, Proposal, State, Step


def voted(answers: str, gold: str | None = None) -> SearchResult:
    """The majority of one-step trajectories with these answers."""
    left = list(answers)

    def script(state: State, n: int, seed: int) -> list[Step]:
        return [Step(answer, "", "answer", answer, tokens=1) for answer in [left.pop(0) for _ in range(n)]]

    problem = Problem("which?", answer=gold)
    return asyncio.run(search_one(problem, MajorityConfig(samples=len(answers)), components(script)))


def shown(result: SearchResult) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(result_view(result))
    return capture.get()


@pytest.mark.parametrize(("answers", "is_doubtful"), [("aabcd", True), ("aabb", False), ("aaab", False)])
def test_an_answer_with_less_than_even_confidence_is_doubtful(answers: str, is_doubtful: bool) -> None:
    said = shown(voted(answers))
    assert "answer a" in said
    assert ("doubtful" in said) == is_doubtful


def test_where_the_gold_answer_is_known_the_verdict_says_it() -> None:
    said = shown(voted("aabcd", gold="b"))
    assert "wrong, it is b" in said
    assert "doubtful" not in said


def test_the_other_answers_and_their_shares_are_shown() -> None:
    result = voted("aaaabbcdef")
    assert result.other_answers[:2] == (("b", 0.2), ("c", 0.1))
    assert "also found, by weight: b (20%), c (10%), d (10%)\n" in shown(result)
    assert SearchResult.from_json(result.to_json()).other_answers == result.other_answers
    assert "also found" not in shown(voted("aaa"))


def test_prose_around_a_program_is_shown() -> None:
    step = TrajectoryStep("We multiply:\n```python\nprint(6 * 7)\n```\n", "print(6 * 7)\n", "42\n", 1.0, 1, None)
    assert "We multiply:" in shown(replace(voted("a"), trajectory=(step,)))


def test_candidates_that_a_limit_cut_off_are_counted() -> None:
    steps = [Step("first", ending="truncated"), Step("second", ending="truncated"), Step("a", "", "answer", "a")]
    searching = search_one(Problem("?"), MajorityConfig(samples=3), components(lambda *_: steps))
    assert "2 candidates cut off at the token limit" in shown(asyncio.run(searching))


class Small(ScriptedPolicy):
    async def propose(self, *request: object) -> Proposal:
        raise ContextOverflow("too long")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([Step("raise 1", "raise 1"), Step("raise 2", "raise 2")], "2 candidates failed or stated no answer · "),
        ([Step("on"), Step("and on")], "2 paths ended at --max-depth or the model's context · "),
        (None, "1 path ended at --max-depth or the model's context · "),
    ],
)
@pytest.mark.parametrize("config", [MajorityConfig(samples=2, max_depth=1), MCTSConfig(children=2, max_depth=1)])
def test_a_search_without_an_answer_says_what_became_of_its_candidates(
    steps: list[Step] | None, reason: str, config: SearchConfig
) -> None:
    parts = components(lambda *_: steps or [])
    parts = parts if steps else replace(parts, policy=Small(lambda *_: []))
    result = asyncio.run(search_one(Problem("?"), config, parts))
    assert result.answer is None
    assert reason in " ".join(shown(result).split())


def test_the_summary_counts_answers_apart_from_problems() -> None:
    display = SearchDisplay(Console(), 3)
    for result in (voted("aab", gold="a"), voted("ab", gold="b"), replace(voted("a"), answer=None, correct=None)):
        display.on_result(result)
    assert display.summary().plain.startswith("2 of 3 answered · 1 of 2 right · 6 tokens generated · ")


def test_one_is_not_plural() -> None:
    assert "1 rollout · 2 nodes · 0 executions · 1 token · " in shown(voted("a"))


def test_code_that_is_wider_than_the_terminal_is_shown_whole() -> None:
    code = f"total = {' + '.join(str(number) for number in range(100, 150))}"
    step = TrajectoryStep(text=code, code=code, output="", q_value=1.0, visits=1, score=None)
    assert code in " ".join(shown(replace(voted("aaa"), trajectory=(step,))).split())
