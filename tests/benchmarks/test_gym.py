"""Problems of reasoning-gym: stable, distinct, and in splits that never share a question."""

import sys

import pytest

pytest.importorskip("reasoning_gym")

from treestar.benchmarks.gym import iter_problems, make_problems, split_of
from treestar.benchmarks.gym_levels import GSM_GROUPS, LEVELS, cells
from treestar.types import TreestarError

SPLITS = ("train", "validation", "test")


def test_there_are_gsm_symbolic_and_at_least_eight_more_families() -> None:
    assert "gsm_symbolic" in LEVELS
    assert len(LEVELS) >= 9


def test_gsm_templates_are_split_into_three_groups_that_share_none() -> None:
    groups = [set(templates) for templates in GSM_GROUPS.values()]
    assert [len(group) for group in groups] == [43, 24, 18]
    assert len(set.union(*groups)) == 85


@pytest.mark.parametrize(("family", "level"), cells())
def test_a_cell_gives_distinct_complete_problems(family: str, level: str) -> None:
    problems = make_problems(family, level, "test", 15)
    assert len({problem.question for problem in problems}) == 15
    assert len({problem.id for problem in problems}) == 15
    for problem in problems:
        assert problem.answer
        assert problem.kind == "math"
        assert (problem.metadata["family"], problem.metadata["level"]) == (family, level)
        assert "final answer." not in problem.question


@pytest.mark.parametrize("family", ["chain_sum", "gsm_symbolic", "simple_equations"])
def test_the_same_seed_gives_the_same_problems_and_another_seed_others(family: str) -> None:
    level = next(iter(LEVELS[family]))
    first = make_problems(family, level, "train", 20, seed=1)
    assert make_problems(family, level, "train", 20, seed=1) == first
    assert {p.question for p in make_problems(family, level, "train", 20, seed=2)} != {p.question for p in first}


@pytest.mark.parametrize(("family", "level"), [("chain_sum", "easy"), ("count_primes", "easy"), ("gcd", "easy")])
def test_splits_never_share_a_question_whatever_the_seeds(family: str, level: str) -> None:
    questions = [
        {p.question for seed in (0, 1) for p in make_problems(family, level, split, 120, seed)} for split in SPLITS
    ]
    assert not questions[0] & questions[1]
    assert not questions[0] & questions[2]
    assert not questions[1] & questions[2]


def test_a_problem_is_in_the_split_that_its_text_names() -> None:
    assert all(split_of(p.question) == "validation" for p in make_problems("lcm", "hard", "validation", 20))


def test_gsm_groups_use_their_own_templates_only() -> None:
    for group, templates in GSM_GROUPS.items():
        problems = make_problems("gsm_symbolic", group, "test", 30)
        assert {problem.metadata["template"] for problem in problems} <= set(templates)


def test_unknown_cells_and_splits_are_named() -> None:
    with pytest.raises(ValueError, match="chain_sum/easy"):
        next(iter_problems("chain_sum", "extreme", "test"))
    with pytest.raises(ValueError, match="validation"):
        next(iter_problems("chain_sum", "easy", "tests"))  # type: ignore[arg-type]


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(TreestarError, match=r"pip install 'treestar\[gym\]'"):
        make_problems("gcd", "easy", "test", 1)
