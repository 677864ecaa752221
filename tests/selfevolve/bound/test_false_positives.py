"""Other instances of a template, and correct answers by wrong logic, which other instances reveal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache

import pytest

pytest.importorskip("reasoning_gym")

from recipes.toy.execution import answers_match, run_steps
from recipes.toy.teachers import teach
from treestar.benchmarks.gym import make_problems, split_of
from treestar.benchmarks.gym_levels import GSM_GROUPS, cells
from treestar.policy.formats import BoundFormat
from treestar.policy.formats.binding import bind_numbers
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.selfevolve.bound.false_positives import is_false_positive, is_rounded
from treestar.selfevolve.bound.resampling import resample
from treestar.types import Execution, Problem, State, Step
from treestar.verifier import AnswerVerifier

INSTANCES = 4

TAUGHT_CELLS = [cell for cell in cells() if cell[1] not in ("untaught", "heldout")]


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, concurrency=1))
    yield made
    asyncio.run(made.close())


@cache
def taught_problems() -> list[Problem]:
    return make_problems("gsm_symbolic", "taught", "train", 1200, 4)


def trajectory(problem: Problem, texts: list[str]) -> State:
    endings = ["step"] * (len(texts) - 1) + ["code"]
    steps = tuple(Step(text, text, ending) for text, ending in zip(texts, endings, strict=True))  # type: ignore[arg-type]
    return State(problem, steps, tuple(Execution() for _ in steps))


def is_false(executor: SandboxExecutor, problem: Problem, texts: list[str]) -> bool:
    async def judge() -> bool:
        verifier = AnswerVerifier()
        found = await is_false_positive(
            problem, trajectory(problem, texts), resample, executor, verifier, INSTANCES, seed=0
        )
        await verifier.close()
        return found

    return asyncio.run(judge())


def is_right(problem: Problem, texts: list[str]) -> bool:
    output = run_steps(bind_numbers(problem.question).preamble, texts)
    return output is not None and answers_match(output, problem.answer or "")


# --- other instances -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "level"), cells())
def test_an_instance_differs_in_its_numbers_and_keeps_the_names(family: str, level: str) -> None:
    for problem in make_problems(family, level, "train", 4, seed=8):
        found = [resample(problem, seed) for seed in range(INSTANCES)]
        instances = [each for each in found if each is not None]
        assert instances, problem.question
        binding = bind_numbers(problem.question)
        for instance in instances:
            other = bind_numbers(instance.question)
            assert other.values != binding.values
            assert [name for name, _ in other.values] == [name for name, _ in binding.values]
            assert instance.metadata["family"] == family
            assert instance.metadata.get("template") == problem.metadata.get("template")
            assert split_of(instance.question) == "train"
            assert instance.answer
        assert found == [resample(problem, seed) for seed in range(INSTANCES)]


@pytest.mark.parametrize(("family", "level"), [cell for cell in TAUGHT_CELLS if cell[0] != "gsm_symbolic"])
def test_what_solves_a_problem_solves_its_other_instances(family: str, level: str) -> None:
    for problem in make_problems(family, level, "train", 6, seed=9):
        steps = teach(problem)
        assert steps is not None
        for seed in range(INSTANCES):
            instance = resample(problem, seed)
            assert instance is None or is_right(instance, steps), instance


def test_another_unit_is_another_structure() -> None:
    """Template 95 asks for a week or for a month: 7 days or 30."""
    periods = {"week": 7, "month": 30}
    problems = [problem for problem in taught_problems() if problem.metadata["template"] == 95]
    assert {period for period in periods for problem in problems if period in problem.question} == set(periods)
    for problem in problems:
        [period] = [word for word in periods if word in problem.question]
        instances = [instance for seed in range(8) if (instance := resample(problem, seed)) is not None]
        assert len(instances) == 8
        assert all(period in instance.question for instance in instances)


@pytest.mark.parametrize(
    "problem",
    [
        Problem("How much is 3 + 4?", "7"),
        Problem("How much is 3 + 4?", "7", metadata={"family": "arithmetic", "level": "easy", "split": "train"}),
        Problem("How much is 3 + 4?", "7", metadata={"family": "chain_sum", "level": "easy", "split": "train"}),
        Problem("Calculate 3 + 4.", "8", metadata={"family": "basic_arithmetic", "level": "easy", "split": "train"}),
        Problem("If you have 3 dragons?", "12", metadata={"family": "leg_counting", "level": "easy", "split": "train"}),
    ],
)  # fmt: skip
def test_a_source_that_cannot_give_instances_says_so(problem: Problem) -> None:
    assert resample(problem, 0) is None


def test_divisions_stay_exact() -> None:
    metadata = {"family": "basic_arithmetic", "level": "mid", "split": "train"}
    problem = Problem("Calculate -( 84 + 6 ) / 15 * 7 / 3.", "-14", metadata=metadata)
    for seed in range(6):
        instance = resample(problem, seed)
        assert instance is not None
        assert instance.question != problem.question
        values = [int(literal) for _, literal in bind_numbers(instance.question).values]
        a, b, c, d, e = values
        assert (a + b) % c == 0
        assert (a + b) // c * d % e == 0
        assert instance.answer == str(-(a + b) // c * d // e)


# --- right answers by wrong logic ------------------------------------------------------------------------------------


def program(*lines: str) -> list[str]:
    steps = [f"# Step {index}: compute\n{line}" for index, line in enumerate(lines, start=1)]
    return [*steps, f"# Now print the final answer\nprint({lines[-1].partition(' = ')[0]})"]


Numbers = tuple[float, ...]

COINCIDENCES: dict[str, tuple[int, Callable[[Numbers], bool], list[str]]] = {
    "a number exchanged for another that is equal": (
        48,
        lambda q: q[0] == q[3],
        program("loaves = n5 * n6", "others = n3 * n4", "more = loaves - others"),
    ),
    "a constant for a number of the question": (91, lambda q: q[2] == 6, program("crop = n3 * n4", "total = crop * 2")),
    "a number of the question for a constant": (
        95,
        lambda q: 7 in q[1:2],
        program("day = n3 + n4 + n5", "total = day * n4"),
    ),
    "two numbers that cancel each other": (4, lambda q: q[1] == q[2], program("racks = n3 + 0")),
}


@pytest.mark.parametrize("name", COINCIDENCES)
def test_a_coincidence_on_a_real_template_is_a_false_positive(executor: SandboxExecutor, name: str) -> None:
    template, condition, steps = COINCIDENCES[name]
    problems = [
        problem
        for problem in taught_problems()
        if problem.metadata["template"] == template
        and condition(tuple(float(literal) for _, literal in bind_numbers(problem.question).values))
        and is_right(problem, steps)
    ]
    assert problems
    problem = problems[0]
    true = teach(problem)
    assert true is not None
    assert is_false(executor, problem, steps)
    assert not is_false(executor, problem, true)


FAMILY_COINCIDENCES = {
    "leg_counting": (
        "How many legs are there in total if you have 9 cows, 9 spiders?",
        "108",
        program("legs = n3 * 8", "legs = legs + n4 * 4"),
        program("legs = n3 * 4", "legs = legs + n4 * 8"),
    ),
    "basic_arithmetic": ("Calculate 2 * 2.", "4", program("a = n3 + n4"), program("a = n3 * n4")),
    "chain_sum": (
        "State the final answer to the following arithmetic problem: 5 - 3 + 3 =",
        "5",
        program("total = n3 + n4", "total = total - n5"),
        program("total = n3 - n4", "total = total + n5"),
    ),
}


@pytest.mark.parametrize("family", FAMILY_COINCIDENCES)
def test_a_coincidence_in_a_family_is_a_false_positive(executor: SandboxExecutor, family: str) -> None:
    question, answer, wrong, true = FAMILY_COINCIDENCES[family]
    problem = Problem(question, answer, metadata={"family": family, "level": "easy", "split": "train"})
    assert is_right(problem, wrong)
    assert is_right(problem, true)
    assert is_false(executor, problem, wrong)
    assert not is_false(executor, problem, true)


def test_no_taught_program_is_called_a_false_positive(executor: SandboxExecutor) -> None:
    """One problem of each template, on other instances in the sandbox. The generator has rounded some of them."""
    problems = {
        p.metadata["template"]: p for p in make_problems("gsm_symbolic", "taught", "train", 200, 12) if teach(p)
    }
    assert sorted(problems) == sorted(GSM_GROUPS["taught"])
    called = [template for template, p in problems.items() if is_false(executor, p, teach(p) or [])]
    assert called == []


def test_a_program_that_fails_on_an_instance_is_a_false_positive(executor: SandboxExecutor) -> None:
    metadata = {"family": "chain_sum", "level": "easy", "split": "train"}
    problem = Problem("State the final answer to the following arithmetic problem: 5 + 3 =", "8", metadata=metadata)
    assert is_false(executor, problem, program("total = int('8' if n3 == 5 else 'x')"))
    assert is_false(executor, problem, program("total = 8"))


def test_nothing_is_said_of_a_source_without_other_instances(executor: SandboxExecutor) -> None:
    assert not is_false(executor, Problem("How much is 3 + 4?", "7"), program("total = 7"))


def test_an_instance_whose_answer_was_rounded_says_nothing() -> None:
    assert is_rounded("3", "3.5")
    assert is_rounded("77", "77.99")
    assert not is_rounded("3", "4.5")
    assert not is_rounded("3", "4")
    assert not is_rounded("3", "3")
    assert not is_rounded("3/4", "0.8")
    assert not is_rounded("3", None)


def test_a_program_stands_in_the_names_of_the_bound_form() -> None:
    """Instances are bound from the same first name, so a program runs on all of them as it is."""
    problem = make_problems("chain_sum", "mid", "train", 1)[0]
    instance = resample(problem, 0)
    assert instance is not None
    names = [line.partition(" = ")[0] for line in BoundFormat().preamble(instance).splitlines()]
    assert names == [line.partition(" = ")[0] for line in BoundFormat().preamble(problem).splitlines()]
