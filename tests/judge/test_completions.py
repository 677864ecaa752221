"""Values from completions: equal to the exact ones on average, also where completions are reused."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from support.judging import chance, value, walk, walked, walking, walks

from treestar.judge.completions import ValuedChunk, valued_chunks
from treestar.judge.config import AnnotationConfig
from treestar.types import Execution, State, Step


def valued(*solutions: State, seed: int = 0, completions: int = 16, script=walk) -> list[ValuedChunk]:
    config = AnnotationConfig(completions=completions)
    return asyncio.run(valued_chunks(walks(1)[0], solutions, 0.5, config, walking(script), seed))


def letters(chunk: ValuedChunk) -> str:
    return "".join(step.text for step in chunk.state.steps)


def test_every_boundary_has_its_completions_and_the_end_needs_none() -> None:
    found = valued(walked("aba", "yes"))
    assert [letters(each) for each in found] == ["a", "ab", "aba", "abaso yes"]
    assert [each.completions for each in found] == [16, 16, 16, 0]
    assert [each.q for each in found[:3]] == [each.right / 16 for each in found[:3]]
    assert [each.before for each in found] == [0.5, *(each.q for each in found[:3])]
    assert found[3].q == 1.0
    assert valued(walked("aba", "no"))[3].q == 0.0


def test_completions_that_arrive_at_the_next_boundary_go_on_as_its_own() -> None:
    found = valued(walked("aab", "yes"), completions=64)
    assert [each.borrowed for each in found[:3]] > [20, 5, 5]
    whole = 64 * (4 + 3 + 2)  # tokens without reuse: two to four letters, and an answer of two tokens
    assert 64 * 3 < sum(each.generated_tokens for each in found) < whole


def test_estimates_are_unbiased_although_completions_are_reused() -> None:
    totals: defaultdict[str, list[float]] = defaultdict(list)
    differences = []
    for seed in range(300):
        found = valued(walked("aab", "yes"), walked("aba", "no"), seed=seed, completions=8)
        for each in found:
            totals[letters(each)].append(each.q)
        differences.append(found[1].q - found[0].q)
    for name in ("a", "aa", "aab", "ab", "aba"):
        assert abs(sum(totals[name]) / 300 - value(name)) < 4 * 0.5 / (8 * 300) ** 0.5, name
    mean = sum(differences) / 300
    assert abs(mean - (value("aa") - value("a"))) < 0.03
    variance = sum((each - mean) ** 2 for each in differences) / 299
    independent = (value("aa") * (1 - value("aa")) + value("a") * (1 - value("a"))) / 8
    assert variance < independent, "sharing completions makes differences less noisy"


def test_the_completions_of_a_boundary_are_independent_of_one_another() -> None:
    """The variance of an estimate is the binomial one: no completion is borrowed twice."""
    found = [valued(walked("aaa", "yes"), seed=seed, completions=8)[0].q for seed in range(300)]
    mean = sum(found) / 300
    variance = sum((each - mean) ** 2 for each in found) / 299
    assert 0.75 < variance / (value("a") * (1 - value("a")) / 8) < 1.3


def test_a_beginning_that_solutions_share_is_valued_once() -> None:
    found = valued(walked("aab", "yes"), walked("aba", "yes"), walked("aab", "no"))
    assert [(letters(each), each.solution) for each in found] == [
        ("a", 0),
        ("aa", 0),
        ("aab", 0),
        ("aabso yes", 0),
        ("ab", 1),
        ("aba", 1),
        ("abaso yes", 1),
        ("aabso no", 2),
    ]


def test_draws_depend_on_nothing_but_the_seed() -> None:
    one, other = (valued(walked("aab", "yes"), seed=seed, completions=64) for seed in (1, 2))
    assert [each.q for each in one] == [each.q for each in valued(walked("aab", "yes"), seed=1, completions=64)]
    assert [each.q for each in one] != [each.q for each in other]


def test_a_hopeless_chunk_has_the_value_zero() -> None:
    found = valued(walked("abb", "no"), completions=32)
    assert found[2].q == chance("abb") == 0.0
    assert found[1].q > 0


def test_a_step_whose_code_fails_ends_its_solution_with_the_value_zero() -> None:
    broken = walked("a")
    failed = Step("raise", code="raise", tokens=1)
    broken = State(
        broken.problem, (*broken.steps, failed), (*broken.executions, Execution(error="Exception: scripted"))
    )
    found = valued(broken)
    assert (found[1].q, found[1].completions) == (0.0, 0)


def test_a_solution_that_prints_something_else_when_run_again_is_left_out_from_there_on() -> None:
    changed = walked("aab", "yes")
    executions = (changed.executions[0], Execution(output="another"), *changed.executions[2:])
    found = valued(State(changed.problem, changed.steps, executions))
    assert [letters(each) for each in found] == ["a"]
    assert found[0].completions > 0


def test_completions_that_end_at_a_limit_are_not_right() -> None:
    def endless(state: State, n: int, seed: int) -> list[Step]:
        return [Step(f"{len(state.steps)}", tokens=1)] * n

    config = AnnotationConfig(completions=4, max_depth=3)
    solution = walked("ab", "yes")
    found = asyncio.run(valued_chunks(walks(1)[0], [solution], 0.5, config, walking(endless), 0))
    assert [each.q for each in found] == [0.0, 0.0, 1.0]
