"""Evaluation of a PPM on scorers of known quality, and on real trees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.random_trees import end, judged_trees
from support.scripted import components, random_script

from treestar import MCTSConfig, Solver, Tree, TreestarError
from treestar.benchmarks.gym import make_problems
from treestar.ppm import TransformersScorer, make_pairs, ppm_from_policy, read_trees
from treestar.ppm.evaluation import PPMEvaluation, ScoreStates, auc, evaluate, rollouts_from_states
from treestar.ppm.pairs import state_key
from treestar.ppm.plots import draw_reliability
from treestar.search import search_one
from treestar.types import Execution, Problem, State, Step

scores = st.lists(st.sampled_from((-1.0, -0.5, 0.0, 0.25, 1.0)), min_size=2, max_size=12)


def brute_force_auc(values: Sequence[float], positive: Sequence[bool]) -> Fraction:
    """Every positive against every negative."""
    wins = [
        Fraction(1) if high > low else Fraction(1, 2) if high == low else Fraction(0)
        for high, is_high in zip(values, positive, strict=True)
        if is_high
        for low, is_low in zip(values, positive, strict=True)
        if not is_low
    ]
    return sum(wins, Fraction(0)) / len(wins)


@settings(max_examples=300)
@given(scores, st.data())
def test_auc_is_that_of_counting_all_pairs(values: list[float], data: st.DataObject) -> None:
    positive = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    assume(0 < sum(positive) < len(positive))
    assert auc(values, positive) == float(brute_force_auc(values, positive))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    repeated = [
        each for each, count in zip(zip(values, positive, strict=True), counts, strict=True) for _ in range(count)
    ]
    if 0 < sum(is_positive for _, is_positive in repeated) < len(repeated):
        expected = brute_force_auc(*map(list, zip(*repeated, strict=True)))
        assert auc(values, positive, np.array(counts, dtype=float)) == float(expected)


@pytest.mark.parametrize("positive", [[True, True], [False, False], []])
def test_auc_needs_both_kinds(positive: list[bool]) -> None:
    with pytest.raises(ValueError, match="positives and negatives"):
        auc([0.5] * len(positive), positive)


def scripted_trees(count: int = 12) -> list[Tree]:
    """Searched trees, one per problem."""
    config = MCTSConfig(max_rollouts=12, children=4, gold=True, early_stop=False)
    found = [
        asyncio.run(search_one(Problem(f"{n}?", "1", f"p{n}"), config, components(random_script())))
        for n in range(count)
    ]
    return [result.tree for result in found if result.tree is not None]


def oracle(trees: Sequence[Tree]) -> ScoreStates:
    """Scores every state by the success rate of the trajectories that continued from it."""
    known = {key: 2.0 * found.success_rate - 1.0 for key, found in rollouts_from_states(trees).items()}
    return lambda states: [known[state_key(state)] for state in states]


def test_an_oracle_is_always_right() -> None:
    trees = scripted_trees()
    found = evaluate(trees, oracle(trees))
    assert found.pair_accuracy.value == found.auc.value == found.auc_within_problem.value == 1.0
    assert found.pair_accuracy.interval == found.auc.interval == (1.0, 1.0)
    for each in found.reliability:
        assert each.low <= each.mean_score <= each.high
        assert each.success.value == pytest.approx((each.mean_score + 1.0) / 2.0)
        assert each.success.interval[0] <= each.success.value <= each.success.interval[1]
    wrong = evaluate(trees, lambda states: [-score for score in oracle(trees)(states)])
    assert wrong.pair_accuracy.value == 0.0
    assert wrong.auc_within_problem.value < 0.5


def test_a_scorer_that_knows_nothing_gets_one_half() -> None:
    found = evaluate(scripted_trees(), lambda states: [0.0] * len(states))
    cells = [cell for steps in found.accuracy_by_step.values() for cell in steps.values()]
    for each in (found.pair_accuracy, found.auc, found.auc_within_problem, *found.accuracy_by_source.values(), *cells):
        assert each.value == 0.5
        assert each.interval == (0.5, 0.5)
    assert [(each.low, each.high) for each in found.reliability] == [(0.0, 0.2)]


def test_the_cells_of_a_table_make_up_the_whole() -> None:
    trees = scripted_trees()
    noise = np.random.default_rng(0)
    found = evaluate(trees, lambda states: list(noise.uniform(-1, 1, len(states))))
    pairs, counts = make_pairs(trees)
    assert found.pair_accuracy.count == len(pairs)
    for source, whole in found.accuracy_by_source.items():
        steps = found.accuracy_by_step[source]
        assert {(source, step): cell.count for step, cell in steps.items()} == {
            key: count for key, count in counts.pairs.items() if key[0] == source
        }
        assert whole.value == pytest.approx(sum(cell.value * cell.count for cell in steps.values()) / whole.count)
    assert 0.0 < found.pair_accuracy.interval[0] < found.pair_accuracy.value < found.pair_accuracy.interval[1] < 1.0
    assert sum(each.success.count for each in found.reliability) == found.auc.count == len(rollouts_from_states(trees))
    assert all(
        line in str(found) for line in ("pair accuracy", "  of steps", "    at step 1", "AUC of step correctness")
    )
    assert len({len(line) for line in str(found).splitlines()}) == 1


def test_a_step_is_correct_from_one_half_on() -> None:
    """The AUC changes exactly where the success rate passes one half."""
    trees = scripted_trees()
    rate = {key: found.success_rate for key, found in rollouts_from_states(trees).items()}
    assert 0.5 in rate.values()
    for threshold, is_perfect in ((0.5, True), (0.51, False)):
        found = evaluate(trees, lambda states, least=threshold: [float(rate[state_key(s)] >= least) for s in states])
        assert (found.auc.value == 1.0) == is_perfect


def test_states_of_several_trees_of_a_problem_are_one() -> None:
    [tree, other] = [scripted_trees(1)[0] for _ in range(2)]
    once, twice = rollouts_from_states([tree]), rollouts_from_states([tree, other])
    assert {key: found.ended * 2 for key, found in once.items()} == {key: found.ended for key, found in twice.items()}


one_tree_a_problem = st.lists(
    judged_trees(questions=4, distinct=True), min_size=1, max_size=4, unique_by=lambda tree: tree.problem.question
)


@settings(max_examples=60)
@given(one_tree_a_problem, st.integers(0, 2**32))
def test_any_trees_give_plain_figures_or_a_clear_error(trees: list[Tree], seed: int) -> None:
    noise = np.random.default_rng(seed)
    score: ScoreStates = lambda states: list(noise.uniform(-1, 1, len(states)).round(1))  # noqa: E731
    if not make_pairs(trees)[0]:
        with pytest.raises(TreestarError, match="no preference pairs"):
            evaluate(trees, score)
        return
    data = json.loads(json.dumps(evaluate(trees, score).to_json(), allow_nan=False))
    for name in ("pair_accuracy", "auc", "auc_within_problem"):
        assert 0.0 <= data[name]["interval"][0] <= data[name]["interval"][1] <= 1.0


def test_trees_judged_by_different_gold_answers_are_a_clear_error() -> None:
    trees = [Tree(Problem("q?", gold), "mcts", {}, 0) for gold in ("1", "2")]
    for tree, ends in zip(trees, (("right", "wrong"), ("wrong", "right", "right")), strict=True):
        root = tree.add_root(Execution())
        for index, how in enumerate(ends):
            end(tree.add_child(root, Step(f"x = {index}", f"x = {index}"), Execution()), how)
    trees[1].nodes[1].correct = True
    with pytest.raises(TreestarError, match="not made with the same gold answers"):
        evaluate(trees, lambda states: [0.0] * len(states))


@pytest.mark.parametrize("value", [float("nan"), 1.5, float("-inf")])
def test_a_score_out_of_range_is_a_clear_error(value: float) -> None:
    with pytest.raises(TreestarError, match=r"scores a step of problem 'p\d+' .*: not in \[-1, 1\]"):
        evaluate(scripted_trees(), lambda states: [value] * len(states))


def test_trees_without_pairs_are_a_clear_error() -> None:
    trees = [tree for tree in scripted_trees() if tree.terminals()]
    for tree in trees:
        for node in tree.nodes:
            node.correct = None
    with pytest.raises(TreestarError, match=r"no preference pairs: 12 trees read; 12 gave no pairs \(12 unjudged\)"):
        evaluate(trees, lambda states: [0.0] * len(states))


@pytest.mark.slow
def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    from matplotlib.image import imread

    trees = scripted_trees()
    noise = np.random.default_rng(1)
    know = oracle(trees)
    for name, score in {
        "many bins": lambda states: list(np.clip(know(states) + noise.normal(0, 0.4, len(states)), -1, 1)),
        "one bin": lambda states: [0.0] * len(states),
    }.items():
        draw_reliability(evaluate(trees, score), tmp_path / f"{name}.png")
        picture = imread(tmp_path / f"{name}.png")
        assert picture.shape[:2] == (806, 921)
        assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50


@pytest.mark.slow
def test_real_trees_and_a_ppm_that_was_not_trained(tmp_path: Path) -> None:
    """The bootstrap policy's own trees, read back from files; a new PPM scores 0 everywhere."""
    problems = [problem for level in ("mid", "hard") for problem in make_problems("chain_sum", level, "train", 3, 1)]
    config = MCTSConfig(
        gold=True, early_stop=False, max_rollouts=8, children=4, distinct=True, max_generated_tokens=1500
    )
    with Solver("toy-bootstrap", config) as solver:
        for result in solver.solve_many(problems):
            assert result.tree is not None
            result.tree.save(tmp_path / f"{result.problem.id}.json")
    (tmp_path / "cut.json").write_text(next(tmp_path.iterdir()).read_text()[:500])

    trees = read_trees(tmp_path)
    pairs, counts = make_pairs(trees, trees.skipped)
    assert counts.trees == len(problems)
    assert counts.reasons()["unreadable"] == 1
    assert {pair.problem.id for pair in pairs} <= {problem.id for problem in problems}
    for pair in pairs:
        assert pair.q_chosen > pair.q_rejected
        assert not any(execution.error for execution in (*pair.chosen.executions, *pair.rejected.executions))

    scorer = TransformersScorer(ppm_from_policy("toy"), "new")
    found: PPMEvaluation = evaluate(trees, lambda states: score_now(scorer, states), trees.skipped)
    assert found.pair_accuracy.value == found.auc.value == 0.5
    assert found.pair_accuracy.count == len(pairs) >= 4


def score_now(scorer: TransformersScorer, states: Sequence[State]) -> Sequence[float]:
    return asyncio.run(scorer.score(states)).values
