"""Training a PPM: losses computed by hand, accuracy on held-out problems, resuming, and clear errors."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.ppm_trees import telling_tree
from support.tiny_model import save_tiny_model

from treestar.ppm.encoding import encode
from treestar.ppm.model import PPM, load_ppm, ppm_from_policy
from treestar.ppm.pairs import make_pairs
from treestar.search import Node, Tree
from treestar.training.checkpoints import last_checkpoint
from treestar.training.muon import MuonWithAdamW
from treestar.training.ppm.batches import collate, term_logits
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.ppm.data import prepare
from treestar.training.ppm.objectives import LOSSES, Objective, loss_of, outcome_terms, q_terms
from treestar.training.ppm.train import train_ppm
from treestar.training.run import Optimizer
from treestar.types import State, TreestarError

QUICK = {"learning_rate": 3e-3, "batch_tokens": 512, "epochs": 2.0, "held_out": 0.25}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("policy"), treestar_format="rstar"))


def trees(count: int) -> list[Tree]:
    return [telling_tree(number) for number in range(count)]


def score(ppm: PPM, state: State) -> float:
    """Read alone."""
    ids = torch.tensor([encode(ppm.tokenizer, ppm.step_format, state).ids])
    with torch.no_grad():
        return ppm.scores(ids, torch.ones_like(ids), torch.tensor([[ids.shape[1] - 1]])).item()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_loss_of_pairs_is_equation_4() -> None:
    """Two positives and two negatives, each read before tanh as given; the mean over the four pairs."""
    positives, negatives = (0.3, -1.2), (0.1, 2.0)
    logits = torch.tensor([[chosen, rejected] for chosen in positives for rejected in negatives])
    by_hand = sum(
        -math.log(1 / (1 + math.exp(-(math.tanh(chosen) - math.tanh(rejected)))))
        for chosen in positives
        for rejected in negatives
    )
    assert LOSSES["pairs"](logits, torch.zeros(4)).mean().item() == pytest.approx(by_hand / 4, abs=1e-6)


def test_centering_pulls_a_pair_away_from_the_end_that_both_stand_at() -> None:
    """There equation 4 alone has no gradient left; a pair at both ends stays unchanged."""

    def gradient(centering: float, chosen: float, rejected: float) -> list[float]:
        logits = torch.tensor([[chosen, rejected]], requires_grad=True)
        loss_of("pairs", centering)(logits, torch.zeros(1)).sum().backward()
        assert logits.grad is not None
        return logits.grad[0].tolist()

    assert gradient(0.0, 8.0, 8.0) == pytest.approx([0.0, 0.0], abs=1e-5)
    assert gradient(0.1, 8.0, 8.0) == pytest.approx([3.2, 3.2], abs=1e-5)  # 2 x 0.1 x 16
    assert gradient(0.1, -8.0, -8.0) == pytest.approx([-3.2, -3.2], abs=1e-5)
    assert gradient(0.1, 8.0, -8.0) == pytest.approx([0.0, 0.0], abs=1e-5)


def test_centering_is_of_pairs_alone() -> None:
    logits, targets = torch.tensor([[0.5], [-1.0]]), torch.tensor([0.0, 1.0])
    for objective in ("orm", "q_regression"):
        assert torch.equal(loss_of(objective, 0.1)(logits, targets), LOSSES[objective](logits, targets))


def test_the_loss_of_outcomes_is_cross_entropy_of_the_score_as_a_probability() -> None:
    logits, outcomes = torch.tensor([[0.7], [0.7], [-20.0]]), torch.tensor([1.0, 0.0, 1.0])
    probability = (1 + math.tanh(0.7)) / 2
    wanted = [-math.log(probability), -math.log(1 - probability), 40.0]  # the last beyond where tanh is exactly -1
    assert LOSSES["orm"](logits, outcomes).tolist() == pytest.approx(wanted, rel=1e-5)


def test_the_loss_of_q_is_the_squared_error_of_the_score() -> None:
    logits, values = torch.tensor([[0.5], [-1.0]]), torch.tensor([-0.25, 1.0])
    wanted = [(math.tanh(0.5) + 0.25) ** 2, (math.tanh(-1.0) - 1.0) ** 2]
    assert LOSSES["q_regression"](logits, values).tolist() == pytest.approx(wanted, rel=1e-5)


def test_a_place_of_a_tree_weighs_as_its_pairs_mean_in_the_loss_of_a_batch(policy: str) -> None:
    """End to end: the weighted sum of a batch is the mean over places of the mean over their pairs."""
    tree = telling_tree(3)
    ppm = ppm_from_policy(policy)
    torch.nn.init.normal_(ppm.model.score.weight, std=0.3)
    data = prepare([tree], ppm, PPMTrainingConfig())
    [batch] = data.batches
    pairs, _ = make_pairs([tree])

    by_place: dict[str, list[float]] = {}
    for pair in pairs:
        by_place.setdefault(pair.group, []).append(
            math.log1p(math.exp(score(ppm, pair.rejected) - score(ppm, pair.chosen)))
        )
    wanted = sum(sum(losses) / len(losses) for losses in by_place.values()) / len(by_place)

    inputs = collate(batch, 0)
    losses = LOSSES["pairs"](term_logits(ppm, inputs), inputs["targets"])
    assert (losses * inputs["weights"]).sum().item() == pytest.approx(wanted, abs=1e-5)
    assert len(by_place) > 1


def test_what_the_other_objectives_take_from_a_tree() -> None:
    tree = telling_tree(0)
    outcomes = outcome_terms(tree)
    assert sorted(term.target for term in outcomes) == [0.0, 0.0, 0.0, 1.0]
    assert {len(term.states[0].steps) for term in outcomes} == {2}
    values = q_terms(tree)
    assert sorted(term.target for term in values) == [-1.0, -1.0, -1.0, -1.0, 0.0, 1.0]
    for terms in (outcomes, values):
        assert sum(term.weight for term in terms) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("objective", "least"),
    [
        ("pairs", 0.9),
        pytest.param("orm", 0.6, marks=pytest.mark.slow),
        pytest.param("q_regression", 0.9, marks=pytest.mark.slow),
    ],
)
def test_training_lowers_the_loss_and_ranks_held_out_pairs(
    policy: str, tmp_path: Path, objective: Objective, least: float
) -> None:
    """Outcomes of whole trajectories teach little about first steps, so `orm` has a lower threshold."""
    config = PPMTrainingConfig(**{**QUICK, "epochs": 20.0, "learning_rate": 1e-3, "objective": objective})
    told: list[Any] = []
    report = train_ppm(trees(24), policy, tmp_path, config, on_data=told.append, on_progress=told.append)
    losses = [loss for _, loss in report["losses"]]
    assert losses[-1] < 0.8 * losses[0]
    assert report["pair_accuracy"] > least
    assert report["data"]["held_out_problems"] == 6
    data, *progress = told
    assert data.to_json() == report["data"]
    assert max(each.step for each in progress) == report["steps"] == progress[-1].steps
    assert json.loads((tmp_path / "training.json").read_text()) == report
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json")
    }
    stored, unseen = load_ppm(str(tmp_path)), [telling_tree(seed) for seed in range(90, 100)]
    found = [max(tree.terminals(), key=lambda node: trajectory_score(stored, tree, node)) for tree in unseen]
    assert sum(bool(node.correct) for node in found) >= 8  # by chance 2 or 3: one of 4 terminals is correct


@pytest.mark.slow
def test_a_ppm_is_trained_further(policy: str, tmp_path: Path) -> None:
    """It continues: its first loss is lower than that of a new PPM, and its report names the earlier one."""
    config = PPMTrainingConfig(**{**QUICK, "epochs": 6.0})
    new = train_ppm(trees(24), policy, tmp_path / "new", config)
    further = train_ppm(trees(24), str(tmp_path / "new"), tmp_path / "further", config)
    assert further["losses"][0][1] < 0.8 * new["losses"][0][1]
    assert further["settings"]["policy"] == str(tmp_path / "new")


def trajectory_score(ppm: PPM, tree: Tree, node: Node) -> float:
    """The sum over its steps, as search judges trajectories: pairs teach nothing about earlier mistakes."""
    return sum(score(ppm, tree.state(each)) for each in node.path())


def test_muon_trains_the_layers_matrices_and_adamw_the_rest(policy: str) -> None:
    """Each weight is in one part, the schedule's rates reach both, and one step changes all of them."""
    model = ppm_from_policy(policy).model
    optimizer = MuonWithAdamW(model, 0.02)
    matrices, others = (
        {id(weight) for group in part.param_groups for weight in group["params"]} for part in optimizer.parts
    )
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert matrices | others == set(names)
    assert not matrices & others
    assert all("layers." in names[each] and names[each].endswith("proj.weight") for each in matrices)
    assert {"model.embed_tokens.weight", "score.weight", "model.norm.weight"} <= {names[each] for each in others}
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    assert [part.param_groups[0]["lr"] for part in optimizer.parts] == [0.01, 0.005]
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.nn.init.normal_(model.score.weight)
    model(ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
    optimizer.step()
    schedule.step()
    assert all(not torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_muon_alone_where_only_matrices_are_trained(policy: str) -> None:
    """As with LoRA, whose factors are matrices of the layers."""
    model = ppm_from_policy(policy).model
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith("proj.weight"))
    assert [type(part).__name__ for part in MuonWithAdamW(model, 0.02).parts] == ["Muon"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    policy: str, tmp_path: Path, optimizer: Optimizer
) -> None:
    config = PPMTrainingConfig(**QUICK, save_steps=2, optimizer=optimizer)
    whole = train_ppm(trees(12), policy, tmp_path / "whole", config)

    def kill(progress: Any) -> None:
        if progress.step == 3:
            raise Killed

    out = tmp_path / "killed"
    with pytest.raises(Killed):
        train_ppm(trees(12), policy, out, config, on_progress=kill)
    with pytest.raises(TreestarError, match="--resume"):
        train_ppm(trees(12), policy, out, config)
    with pytest.raises(TreestarError, match=r"made with other settings \(seed\)"):
        train_ppm(trees(12), policy, out, replace(config, seed=1), resume=True)
    with pytest.raises(TreestarError, match=r"made with other settings \(trees\): use the same trees to continue it"):
        train_ppm(trees(11), policy, out, config, resume=True)
    resumed = train_ppm(trees(12), policy, out, config, resume=True)
    assert resumed["resumed_from"] == "checkpoint-2"
    assert whole["steps"] == resumed["steps"] > 4
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-11").mkdir()
    (tmp_path / "checkpoint-12").mkdir()
    (tmp_path / "checkpoint-12" / "trainer_state.json").write_text('{"epoch": 1.')
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_no_problem_is_trained_on_and_held_out(policy: str) -> None:
    ppm = ppm_from_policy(policy)
    several = [telling_tree(number, seed) for number in range(10) for seed in range(2)]
    for objective in ("pairs", "orm", "q_regression"):
        data = prepare(several, ppm, PPMTrainingConfig(held_out=0.3, objective=objective))
        trained = {term.problem for batch in data.batches for term in batch.terms}
        aside = {term.problem for batch in data.held_out for term in batch.terms}
        assert not trained & aside
        assert (len(trained), len(aside)) == (7, 3)


def test_bf16_trains_and_is_what_is_stored(policy: str, tmp_path: Path) -> None:
    report = train_ppm(trees(8), policy, tmp_path, PPMTrainingConfig(**QUICK, bf16=True))
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.bfloat16}
    assert math.isfinite(report["losses"][-1][1])


def test_with_lora_only_the_head_and_the_adapters_change(policy: str, tmp_path: Path) -> None:
    """The PPM is the merged one, and its adapter alone on the policy gives the same weights."""
    pytest.importorskip("peft")
    before = ppm_from_policy(policy).model.state_dict()
    config = PPMTrainingConfig(**QUICK, lora={"r": 4, "target_modules": ["q_proj", "down_proj"]})
    report = train_ppm(trees(12), policy, tmp_path / "ppm", config)
    after = weights(tmp_path / "ppm")
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "down_proj", "score"}
    assert report["pair_accuracy"] == report["pair_accuracy_by_epoch"][-1][1]
    alone = load_ppm(str(tmp_path / "ppm" / "adapter"), dtype="float32").model.state_dict()
    assert all(torch.allclose(alone[name], weight, atol=1e-6) for name, weight in after.items())


def test_accumulated_batches_make_the_step_of_one(policy: str, tmp_path: Path) -> None:
    """Two accumulated batches give the gradient of both together, up to rounding."""
    config = {"learning_rate": 0.1, "warmup": 0.0, "epochs": 3.0, "held_out": 0.0}
    plain = {"optim": "sgd"}  # Adam would amplify the rounding of gradients that are nearly 0
    ppm = ppm_from_policy(policy)
    one = prepare(trees(4), ppm, PPMTrainingConfig(batch_tokens=4096, **config))
    several = prepare(trees(4), ppm, PPMTrainingConfig(batch_tokens=300, **config))
    assert len(one.batches) == 1
    count = len(several.batches)
    assert count > 1
    for name, settings in {"one": (4096, 1), "several": (300, count)}.items():
        batched = PPMTrainingConfig(batch_tokens=settings[0], accumulation=settings[1], **config)
        train_ppm(trees(4), policy, tmp_path / name, batched, training_arguments=plain)
    start = ppm.model.state_dict()
    first, second = weights(tmp_path / "one"), weights(tmp_path / "several")
    assert not torch.equal(first["model.layers.0.mlp.up_proj.weight"], start["model.layers.0.mlp.up_proj.weight"])
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-5), name


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    policy = save_tiny_model(tmp_path / "policy", treestar_format="rstar")
    broken = weights(policy)
    broken["model.norm.weight"][0] = math.nan
    save_file(broken, policy / "model.safetensors", {"format": "pt"})
    with pytest.raises(TreestarError, match=r"the loss at step 1 is nan.*lower learning rate"):
        train_ppm(trees(6), str(policy), tmp_path / "out", PPMTrainingConfig(**QUICK))


def test_weights_that_are_no_numbers_after_the_last_step_are_not_stored(policy: str, tmp_path: Path) -> None:
    config = PPMTrainingConfig(**{**QUICK, "held_out": 0.0, "learning_rate": 1e39, "warmup": 0.0, "epochs": 1.0})
    with pytest.raises(TreestarError, match="training diverged"):
        train_ppm(trees(2), policy, tmp_path, config)
    assert not (tmp_path / "model.safetensors").exists()


def test_trees_that_teach_nothing_are_named(policy: str, tmp_path: Path) -> None:
    one_sided = trees(3)
    for tree in one_sided:
        for node in tree.terminals():
            node.correct = False
    with pytest.raises(TreestarError, match="no training data: 3 trees read; 3 gave no pairs \\(3 one outcome\\)"):
        train_ppm(one_sided, policy, tmp_path)


def test_states_beyond_the_context_are_left_out_and_counted(tmp_path: Path) -> None:
    policy = str(save_tiny_model(tmp_path / "policy", treestar_format="rstar", max_position_embeddings=120))
    data = prepare(trees(2), ppm_from_policy(policy), PPMTrainingConfig(held_out=0.0))
    assert data.too_long > 0
    assert all(len(state) <= 120 for batch in data.batches for term in batch.terms for state in term.states)
    tiny = str(save_tiny_model(tmp_path / "tiny", treestar_format="rstar", max_position_embeddings=20))
    with pytest.raises(TreestarError, match=r"no training data: all \d+ terms exceed the model's context"):
        prepare(trees(2), ppm_from_policy(tiny), PPMTrainingConfig(held_out=0.0))


def test_arguments_of_transformers_win(policy: str, tmp_path: Path) -> None:
    config = PPMTrainingConfig(**QUICK)
    report = train_ppm(trees(8), policy, tmp_path / "a", config, training_arguments={"max_steps": 1})
    assert report["steps"] == 1
    with pytest.raises(TreestarError, match=r"cannot be set up.*no_such_argument"):
        train_ppm(trees(8), policy, tmp_path / "b", config, training_arguments={"no_such_argument": 1})


def test_a_finished_ppm_is_not_written_over(policy: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(TreestarError, match="already contains a model"):
        train_ppm(trees(2), policy, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("objective", "dpo"),
        ("centering", -0.1),
        ("held_out", 1.0),
        ("epochs", 0),
        ("learning_rate", math.nan),
        ("batch_tokens", 0),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"PPMTrainingConfig.{field} must be"):
        PPMTrainingConfig(**{field: value})


def test_what_would_have_no_effect_is_refused(policy: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="centering must be left out unless the objective is pairs"):
        PPMTrainingConfig(objective="orm", centering=0.5)
    arguments = {"per_device_train_batch_size": 2}
    with pytest.raises(TreestarError, match="must not have per_device_train_batch_size: batch_tokens says"):
        train_ppm(trees(2), policy, tmp_path, training_arguments=arguments)
