"""One budget for a set: never exceeded, the same again, resumable, and spent where the votes are open."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy, components, random_script

from treestar import Budget, MajorityConfig, MCTSConfig, Problem, SearchResult, Solver, TreestarError
from treestar.allocation import Evidence, next_round, search_set, vote_gain
from treestar.allocation.gain import duel_gain
from treestar.allocation.search_set import KeptTurn, TurnKey
from treestar.search import search_one
from treestar.types import ContextOverflow, State, Step

PROBLEMS = [Problem(f"question {i}", str(i % 3), id=f"p{i}") for i in range(8)]
LONGEST_STEP = 4  # of random_script


def run(config: MajorityConfig, total: Budget, **further: object) -> list[SearchResult]:
    parts = components(random_script(0.5))
    searching = search_set(PROBLEMS, config, lambda _: parts, total, vote_gain, **further)  # type: ignore[arg-type]
    return asyncio.run(searching)


def config(samples: int) -> MajorityConfig:
    return MajorityConfig(samples=samples, max_step_tokens=LONGEST_STEP)


def timeless(results: Sequence[SearchResult]) -> list[dict[str, object]]:
    data = [result.to_json() for result in results]
    for each in data:
        each["stats"].pop("seconds")
    return data


@settings(max_examples=25)
@given(st.integers(8 * LONGEST_STEP, 600), st.integers(1, 12))
def test_a_total_is_never_exceeded_and_every_problem_has_a_rollout(tokens: int, samples: int) -> None:
    results = run(config(samples), Budget(max_generated_tokens=tokens))
    assert sum(result.stats.generated_tokens for result in results) <= tokens
    for result in results:
        assert result.tree is not None
        assert 1 <= len(result.tree.root.children) <= samples


def test_without_a_total_of_tokens_a_turn_has_no_limit() -> None:
    for evidence in ([Evidence()] * 3, [Evidence((1,), 1, 5)] * 3):
        turns = next_round(evidence, Budget(max_rollouts=5), 4, LONGEST_STEP, vote_gain)
        assert {turn.max_tokens for turn in turns} == {inf}


@settings(max_examples=15)
@given(st.integers(8, 100))
def test_a_total_of_rollouts_is_spent_exactly(rollouts: int) -> None:
    results = run(config(20), Budget(max_rollouts=rollouts))
    assert sum(result.stats.rollouts for result in results) == rollouts


def test_a_problem_has_the_trajectories_of_majority_with_as_many_samples() -> None:
    for result in run(config(12), Budget(max_rollouts=60)):
        count = result.stats.rollouts
        alone = asyncio.run(
            search_one(
                result.problem,
                MajorityConfig(samples=count, in_flight=1, max_step_tokens=LONGEST_STEP),
                components(random_script(0.5)),
            )
        )
        assert (result.answer, result.confidence) == (alone.answer, alone.confidence)
        assert result.tree is not None
        assert alone.tree is not None
        assert result.tree.to_json()["nodes"] == alone.tree.to_json()["nodes"]


@pytest.mark.parametrize("concurrency", [1, 64])
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(concurrency: int) -> None:
    total = Budget(max_generated_tokens=400)
    kept: dict[TurnKey, KeptTurn] = {}
    whole = run(config(12), total, keep=kept.__setitem__, concurrency=concurrency)
    for left in (0, 1, 9, len(kept) // 2, len(kept)):
        resumed = run(config(12), total, kept=dict(list(kept.items())[:left]))
        assert timeless(resumed) == timeless(whole)
        assert [each.tree.to_json() for each in resumed if each.tree] == [
            each.tree.to_json() for each in whole if each.tree
        ]


def test_a_trajectory_that_the_total_cuts_off_is_kept_as_it_was() -> None:
    """The first one answers at once; the second one would go on."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        if not state.steps and first.pop():
            return [Step("so a", "", "answer", "a", tokens=4)]
        return [Step("x = 1", "x = 1", tokens=2)]

    def solved(kept: dict[TurnKey, KeptTurn]) -> SearchResult:
        parts = components(script)
        searching = search_set(
            PROBLEMS[:1], config(9), lambda _: parts, Budget(max_generated_tokens=16), vote_gain,
            kept=dict(kept), keep=kept.__setitem__,
        )  # fmt: skip
        return asyncio.run(searching)[0]

    first, kept = [False, True], dict[TurnKey, KeptTurn]()
    whole, resumed = solved(kept).tree, solved(kept).tree
    assert whole is not None
    assert resumed is not None
    assert [child.closed for child in whole.root.children] == [True, False]
    assert resumed.to_json() == whole.to_json()


def test_the_answers_of_a_set_are_confirmed_and_graded_together() -> None:
    """The verifier answers only once it was asked about every problem."""

    class Together(ExactVerifier):
        asked = 0

        async def accepts(self, problem: Problem, answer: str) -> bool:
            self.asked += 1
            while self.asked < len(PROBLEMS):
                await asyncio.sleep(0.001)
            return True

    def script(state: State, n: int, seed: int) -> list[Step]:
        return [Step("a", "", "answer", "a", tokens=1)] * n

    parts = replace(components(script), verifier=Together())
    searching = search_set(PROBLEMS, config(2), lambda _: parts, Budget(max_rollouts=8), vote_gain)

    async def soon() -> list[SearchResult]:
        return await asyncio.wait_for(searching, 20)

    assert all(result.correct for result in asyncio.run(soon()))


def test_rollouts_go_where_votes_are_open() -> None:
    """Half of the problems are always answered alike, the others in two ways."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        is_open = int(state.problem.id[1:]) % 2 == 1
        answer = random.Random(seed).choice("ab") if is_open else "a"
        return [Step(answer, "", "answer", answer, tokens=2)] * n

    parts = components(script)
    total = Budget(max_generated_tokens=200)
    results = asyncio.run(search_set(PROBLEMS, config(40), lambda _: parts, total, vote_gain))
    rollouts = [result.stats.rollouts for result in results]
    assert min(rollouts[1::2]) > max(rollouts[0::2])


def test_the_gain_is_that_of_the_beta_binomial_by_hand() -> None:
    # One vote each: Beta(2, 2), now 1/2; a further vote makes it 3/5, whichever it is for.
    assert duel_gain(1, 1) == pytest.approx(0.1)
    # 1:0, Beta(2, 1), now 2/3. One vote changes nothing. Two: 1/2 * 4/5 + 1/3 * 3/5 + 1/6 * 3/5 = 7/10. Three: of
    # 3, 2, 1, 0 further ones with 4/10, 3/10, 2/10, 1/10: (4 * 5 + 3 * 4 + 2 * 3 + 1 * 4) / 60 = 7/10, less per vote.
    assert duel_gain(1, 0) == pytest.approx((0.7 - 2 / 3) / 2)
    assert vote_gain([Evidence(votes=(9,), rollouts=9)])[0] == pytest.approx(0.0, abs=1e-3)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 90)), min_size=1, max_size=40),
    st.integers(0, 5000),
    st.integers(1, 50),
)
def test_rounds_take_no_more_than_is_left(known: list[tuple[int, int]], further: int, longest_step: int) -> None:
    evidence = [Evidence(votes=(rollouts,), rollouts=rollouts, tokens=tokens) for rollouts, tokens in known]
    spent = sum(tokens for _, tokens in known)
    total = Budget(max_generated_tokens=spent + further or 1)
    turns = next_round(evidence, total, 9, longest_step, vote_gain)
    assert sum(turn.max_tokens for turn in turns) <= further
    assert all(turn.max_tokens >= longest_step for turn in turns)
    assert len({turn.place for turn in turns}) == len(turns) <= ceil(len(known) / 16) + 1


def test_a_total_that_is_too_small_says_what_is_missing() -> None:
    with pytest.raises(TreestarError, match="31 tokens in total are not enough for 8 problems"):
        run(config(4), Budget(max_generated_tokens=31))


def test_a_policy_that_counts_no_tokens_shares_a_total_of_rollouts_only() -> None:
    parts = components(lambda state, n, seed: [Step("a", "", "answer", "a")] * n)
    searching = search_set(PROBLEMS, config(40), lambda _: parts, Budget(max_rollouts=30), vote_gain)
    assert sum(result.stats.rollouts for result in asyncio.run(searching)) == 30
    searching = search_set(PROBLEMS, config(40), lambda _: parts, Budget(max_generated_tokens=300), vote_gain)
    with pytest.raises(TreestarError, match="scripted does not count the tokens that it generates"):
        asyncio.run(searching)


def test_a_question_that_leaves_no_room_for_a_step_gets_no_further_rollout() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        if state.problem.id == "p0":
            raise ContextOverflow("too long")
        return [Step("a", "", "answer", "a", tokens=1)] * n

    parts = components(script)
    results = asyncio.run(search_set(PROBLEMS, config(5), lambda _: parts, Budget(max_rollouts=100), vote_gain))
    assert [result.stats.rollouts for result in results] == [1, *[5] * 7]
    assert {result.stopped for result in results} == {"finished"}


def test_only_independent_trajectories_share_a_total() -> None:
    with (
        Solver(ScriptedPolicy(random_script()), MCTSConfig(), executor=ScriptedExecutor()) as solver,
        pytest.raises(ValueError, match="use the strategy majority"),
    ):
        solver.solve_many(PROBLEMS, total=Budget(max_generated_tokens=1000))
    limited = MajorityConfig(samples=4, max_generated_tokens=9)
    with pytest.raises(ValueError, match="leave out max_generated_tokens"):
        run(limited, Budget(max_generated_tokens=1000))


def test_a_solver_continues_a_set_from_its_files(tmp_path: Path) -> None:
    total, out = Budget(max_generated_tokens=300), tmp_path / "results.jsonl"

    def solver() -> Solver:
        return Solver(ScriptedPolicy(random_script()), config(9), executor=ScriptedExecutor(), verifier=ExactVerifier())

    with solver() as one:
        whole = one.solve_many(PROBLEMS, out, total=total)
    rollouts = Path(f"{out}.rollouts")
    lines = rollouts.read_text().splitlines(keepends=True)
    rollouts.write_text("".join(lines[:11]))
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:3]))
    with solver() as one:
        assert timeless(one.solve_many(PROBLEMS, out, total=total)) == timeless(whole)
        with pytest.raises(TreestarError, match=r"other settings \(total.max_generated_tokens\)"):
            one.solve_many(PROBLEMS, out, total=Budget(max_generated_tokens=301))
    assert len(rollouts.read_text().splitlines()) == len(lines)
    assert len(out.read_text().splitlines()) == len(PROBLEMS)


def test_a_difficulty_model_is_not_left_unused(tmp_path: Path) -> None:
    with Solver(ScriptedPolicy(random_script()), config(4), executor=ScriptedExecutor()) as solver:
        with pytest.raises(ValueError, match="also give `total`"):
            solver.solve_many(PROBLEMS, difficulty=tmp_path / "model.json")
        with pytest.raises(TreestarError, match=r"model\.json cannot be read: No such file"):
            solver.solve_many(PROBLEMS, total=Budget(max_rollouts=9), difficulty=tmp_path / "model.json")
