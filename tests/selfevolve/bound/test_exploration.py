"""Steps from the grammar: their operands, mixing with a policy's own steps, and search over both."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from dataclasses import replace
from math import isclose, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sandbox_support import with_interpreter

from treestar.policy import LanguageModelPolicy
from treestar.policy.formats import BoundFormat, RStarFormat, StepFormat
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.search import Components, MCTSConfig, Tree, search_one
from treestar.selfevolve.bound import resample_for
from treestar.selfevolve.bound.exploration import ExplorationConfig, ExploringPolicy
from treestar.selfevolve.bound.grammar import Scope, drafts, scope_of
from treestar.types import Execution, Policy, Problem, Proposal, Sampling, State, Step, TreestarError
from treestar.verifier import AnswerVerifier

WORDS = ("eggs", "half of the", "a week", "12", "3.5", "40%", "3/4", "1,200", "007", "0", "9km", "and", "n4", ",", "$2")
QUESTIONS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
SEEDS = st.integers(0, 2**32)
POLICY_STEPS = st.lists(
    st.sampled_from(
        (
            "total = n3 + n4",
            "total = total - n4",
            "a = n3 / 2",
            "n3 = n3 + 1",
            "from math import gcd\nresult = gcd(n3, n3)",
            "primes = [2, 3]\ncount = len(primes)",
            "text = 'x'\nx, y = 1, 2",
            "for i in range(3):\n    b = i",
            "x +=",
            "# nothing",
        )
    ),
    max_size=4,
)


class BoundPolicy(LanguageModelPolicy):
    """Counts its candidates, and states the seed of the request."""

    def __init__(self, step_format: StepFormat | None = None) -> None:
        super().__init__(step_format or BoundFormat(), "scripted")

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        return Proposal(
            tuple(Step(f"own {seed} {i}", f"own = {i}", tokens=3) for i in range(n)), generated_tokens=3 * n
        )


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, concurrency=1))
    yield made
    asyncio.run(made.close())


def exploring(share: float) -> ExploringPolicy:
    return ExploringPolicy(BoundPolicy(), ExplorationConfig(share=share))


def propose(policy: Policy, state: State, n: int, seed: int) -> list[Step]:
    return list(asyncio.run(policy.propose(state, n, Sampling(), seed)).steps)


def state_of(question: str, codes: list[str] | tuple[str, ...] = ()) -> State:
    return State(Problem(question), tuple(Step(code, code) for code in codes), tuple(Execution() for _ in codes))


def is_own(step: Step) -> bool:
    return step.text.startswith("own ")


def names_in(code: str, context: type[ast.expr_context]) -> set[str]:
    return {
        each.id for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name) and isinstance(each.ctx, context)
    }


# --- the steps -------------------------------------------------------------------------------------------------------


@given(QUESTIONS, POLICY_STEPS, SEEDS)
@settings(max_examples=60)
def test_a_step_reads_names_in_scope_and_is_written_as_the_format_writes_it(
    question: str, codes: list[str], seed: int
) -> None:
    state = state_of(question, codes)
    scope = scope_of(state)
    for step in exploring(1.0).explore(state, 6, seed).values():
        read, stored = names_in(step.code, ast.Load), names_in(step.code, ast.Store)
        assert read - {"print"} <= {*scope.numbers, *scope.results}
        assert not stored & scope.taken
        tag = "<end_of_code>" if step.ending == "code" else "<end_of_step>"
        parsed = BoundFormat().parse(state, f"{step.text}\n{tag}\n", ended=False)
        assert parsed == replace(step, log_probability=0.0)
        assert step.tokens == 0
        assert step.log_probability < 0
        comment, line = step.text.split("\n")
        if step.ending == "code":
            assert comment == "# Now print the final answer"
            assert line == f"print({scope.results[-1]})"
        else:
            assert comment.startswith(f"# Step {len(codes) + 1}: ")
            assert line.startswith(f"{stored.pop()} = ")


@given(QUESTIONS, SEEDS)
@settings(max_examples=10)
def test_every_step_of_a_walk_runs_in_the_sandbox(executor: SandboxExecutor, question: str, seed: int) -> None:
    policy = exploring(1.0)

    async def walk(interpreter: SandboxInterpreter) -> None:
        state = state_of(question)
        execution = Execution()
        if preamble := policy.preamble(state.problem):
            execution = await interpreter.run(preamble, None)
        for depth in range(4):
            found: list[tuple[Step, Execution]] = []
            for step in policy.explore(state, 3, seed + depth).values():
                ran = await interpreter.run(step.code, execution.snapshot)
                assert ran.error is None or "ZeroDivisionError" in ran.error, step.code
                if ran.error is None and step.ending == "code":
                    assert policy.final_answer(step, ran)
                elif ran.error is None:
                    found.append((step, ran))
            if not found:
                return
            step, execution = found[0]
            state = State(state.problem, (*state.steps, step), (*state.executions, execution))

    with_interpreter(executor, walk)


@given(QUESTIONS, POLICY_STEPS)
@settings(max_examples=60)
def test_the_drafts_of_a_scope_are_distinct_and_their_probabilities_add_up(question: str, codes: list[str]) -> None:
    scope = scope_of(state_of(question, codes))
    found = drafts(scope)
    assert bool(found) == bool(scope.values)
    assert len({draft.code for draft in found}) == len(found)
    assert all(draft.probability > 0 for draft in found)
    assert not found or isclose(sum(draft.probability for draft in found), 1.0)


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_scope_is_found_whatever_the_policy_wrote(question: str, code: str) -> None:
    scope_of(state_of(question, [code]))


def test_a_scope_knows_what_was_computed_and_what_was_read() -> None:
    scope = scope_of(
        state_of(
            "12 eggs, 40% of them in 3/4 of the boxes, for a week",
            ["from math import gcd\nresult = gcd(n3, n4)", "total = result + n5", "total = total * 2", "names = [n6]"],
        )
    )
    assert scope.numbers == ("n3", "n4", "n5", "n6")
    assert scope.results == ("result", "total")
    assert {"n3", "n4", "n5", "n6", "result"} <= scope.read
    assert "total" not in scope.read
    assert scope.percentages == ("n4",)
    assert scope.fractions == (("n5", "n6"),)
    assert {7, 100} <= scope.constants
    assert 60 not in scope.constants
    assert "names" in scope.taken


def probability(scope: Scope, code: str) -> float:
    return sum(draft.probability for draft in drafts(scope) if draft.code == code)


def test_fresh_values_in_the_order_of_the_text_come_first() -> None:
    scope = Scope(("n3", "n4", "n5"), ("a",), frozenset({"n3"}), frozenset({"n3", "n4", "n5", "a"}))
    assert probability(scope, "b = a * n4") > probability(scope, "b = a * n5") > probability(scope, "b = a * n3") > 0


def test_the_answer_is_printed_when_everything_has_been_read() -> None:
    numbers = ("n3", "n4")
    read = frozenset(numbers)
    early = probability(Scope(numbers, ("a",), frozenset({"n3"})), "print(a)")
    assert probability(Scope(numbers, ("a",), read), "print(a)") > 0.5 > early
    assert probability(Scope(numbers, ("a", "b"), read), "print(b)") < early


def test_percentages_are_taken_of_other_numbers() -> None:
    scope = scope_of(state_of("30% of 160 emails"))
    assert probability(scope, "a = n4 * n3 / 100") > 5 * probability(scope, "a = n4 * n3")
    assert probability(scope, "a = n4 * (100 - n3) / 100") > probability(scope, "a = n4 - n3")
    assert not any("100 -" in draft.code for draft in drafts(scope_of(state_of("30 of 160 emails"))))


def test_a_word_of_the_question_asks_for_its_constant() -> None:
    asked, unasked = (scope_of(state_of(f"5 eggs a day, how many a {word}?")) for word in ("week", "box"))
    assert probability(asked, "a = n3 * 7") > 2 * probability(unasked, "a = n3 * 7") > 0


# --- the mixture -----------------------------------------------------------------------------------------------------


@given(QUESTIONS, SEEDS, st.integers(1, 12), st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]))
@settings(max_examples=60)
def test_the_wrapped_policys_candidates_stay_as_they_are(question: str, seed: int, n: int, share: float) -> None:
    state = state_of(question)
    steps = propose(exploring(share), state, n, seed)
    own = [step for step in steps if is_own(step)]
    assert len(steps) == n
    assert own == propose(BoundPolicy(), state, len(own), seed)
    if scope_of(state).values:
        assert abs(n - len(own) - n * share) < 1
    else:
        assert len(own) == n


@given(QUESTIONS, SEEDS, st.integers(1, 8), st.integers(0, 8))
@settings(max_examples=40)
def test_a_candidate_hangs_on_state_seed_and_place_alone(question: str, seed: int, n: int, more: int) -> None:
    state = state_of(question)
    assert propose(exploring(0.5), state, n + more, seed)[:n] == propose(exploring(0.5), state, n, seed)


def test_other_seeds_and_states_give_other_steps() -> None:
    question = "7 boxes of 12 eggs, 3 of them broken"
    first = exploring(1.0).explore(state_of(question), 4, 1)
    assert exploring(1.0).explore(state_of(question), 4, 2) != first
    assert exploring(1.0).explore(state_of(question, ["a = n3 * n4"]), 4, 1) != first


def test_the_steps_of_one_proposal_differ() -> None:
    steps = propose(exploring(1.0), state_of("7 boxes of 12 eggs, 3 of them broken"), 32, 5)
    assert len({step.code for step in steps}) == 32


def test_the_log_probability_is_that_of_the_share_times_the_grammar() -> None:
    state = state_of("7 boxes of 12 eggs")
    [step] = [step for step in propose(exploring(0.25), state, 4, 3) if not is_own(step)]
    code = step.code.split("\n")[1]
    assert isclose(step.log_probability, log(0.25 * probability(scope_of(state), code)))


def test_what_was_not_generated_costs_no_tokens() -> None:
    state = state_of("7 boxes of 12 eggs")
    half = asyncio.run(exploring(0.5).propose(state, 8, Sampling(), 1))
    assert half.generated_tokens == 4 * 3
    assert asyncio.run(exploring(1.0).propose(state, 8, Sampling(), 1)).generated_tokens == 0


def test_only_the_bound_format_has_programs_to_explore() -> None:
    assert resample_for(BoundPolicy(), explores=True) is not None
    assert resample_for(BoundPolicy(RStarFormat()), explores=False) is None
    with pytest.raises(TreestarError, match=r"scripted .* format 'rstar'.*remove `exploration`"):
        resample_for(BoundPolicy(RStarFormat()), explores=True)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"ExplorationConfig\.share"):
        ExplorationConfig(share=share)


# --- in a search -----------------------------------------------------------------------------------------------------


def search(executor: SandboxExecutor) -> Tree:
    """For a problem that the policy's own steps never solve: half of the candidates are explored."""
    problem = Problem("A farm has 7 hens. Each lays 5 eggs a day. How many eggs is that?", "35", "farm")
    config = MCTSConfig(max_rollouts=8, children=6, max_depth=3, gold=True, early_stop=False)

    async def run() -> Tree:
        verifier = AnswerVerifier()
        result = await search_one(problem, config, Components(exploring(0.5), executor, verifier), seed=1)
        await verifier.close()
        assert result.tree is not None
        return result.tree

    return asyncio.run(run())


@pytest.fixture(scope="module")
def tree(executor: SandboxExecutor) -> Tree:
    return search(executor)


def test_search_finds_by_exploration_what_the_policy_never_proposes(tree: Tree) -> None:
    solutions = [node for node in tree.terminals() if node.correct]
    assert solutions
    for node in solutions:
        assert node.step is not None
        assert node.step.code.startswith("# Now print the final answer")


def test_the_same_seed_gives_the_same_tree(executor: SandboxExecutor, tree: Tree) -> None:
    def content(tree: Tree) -> list[object]:
        return [(node.step, node.visits, node.value_sum, node.prior, node.multiplicity) for node in tree.nodes]

    assert content(search(executor)) == content(tree)


def test_priors_prefer_the_policys_steps(tree: Tree) -> None:
    children = tree.root.children
    own = [child.prior for child in children if child.step is not None and is_own(child.step)]
    explored = [child.prior for child in children if child.step is not None and not is_own(child.step)]
    assert isclose(sum(own) + sum(explored), 1.0)
    assert 0 < max(explored) < min(own)
