"""Fine-tuning a policy: it learns, changes only the weights, resumes exactly, and reports errors."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.sft_rows import sum_row
from support.tiny_model import save_tiny_model, tiny_model

from treestar.policy import load_policy
from treestar.policy.formats import BoundFormat
from treestar.policy.language_model import LanguageModelPolicy
from treestar.policy.models import load_causal_model, shipped_path
from treestar.training.run import Optimizer
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.data import NO_LOSS, token_rows
from treestar.training.sft.train import train_policy
from treestar.types import Problem, Sampling, State, Step, TreestarError

MODEL_PATH = shipped_path("policy", "toy")

QUICK = {"learning_rate": 3e-3, "batch_size": 4, "epochs": 2.0}
FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("base"), treestar_format="rstar"))


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def greedy(policy: LanguageModelPolicy, state: State) -> Step:
    return asyncio.run(policy.propose(state, 1, Sampling(temperature=0, max_tokens=60), 0)).steps[0]


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 3e-3), pytest.param("muon", 2e-2, marks=pytest.mark.slow)])
def test_training_lowers_the_loss_and_the_policy_takes_the_steps_it_was_shown(
    base: str, tmp_path: Path, optimizer: Optimizer, rate: float
) -> None:
    rows = [sum_row(number) for number in (3, 70)]
    told: list[Any] = []
    config = SFTTrainingConfig(optimizer=optimizer, learning_rate=rate, batch_size=1, epochs=25)
    report = train_policy(rows, base, tmp_path, config, on_progress=told.append)
    losses = [loss for _, loss in report["losses"]]
    assert losses[-1] < 0.1 * losses[0]
    assert report["steps"] == 50 == told[-1].steps == max(each.step for each in told)
    assert json.loads((tmp_path / "training.json").read_text()) == report
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"training.json"}
    before, after = load_policy(base), load_policy(str(tmp_path))
    for row in rows:
        whole = row.trajectory
        for depth, step in enumerate(whole.steps):
            state = State(whole.problem, whole.steps[:depth], whole.executions[:depth])
            assert greedy(after, state).text == step.text
            assert greedy(before, state).text != step.text


@pytest.mark.parametrize("bf16", [False, True])
def test_what_has_not_been_learned_is_the_base_bit_by_bit(tmp_path: Path, bf16: bool) -> None:
    """With a learning rate that is lost in rounding: weights, tied embeddings, config, tokenizer, generation
    settings."""
    config = SFTTrainingConfig(learning_rate=1e-30, epochs=1, batch_size=4, bf16=bf16)
    train_policy([sum_row(number, "bound") for number in range(4)], "toy", tmp_path, config)
    before, after = weights(MODEL_PATH), weights(tmp_path)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((MODEL_PATH / name).read_text())
    policy, base = load_policy(str(tmp_path)), load_policy("toy")
    assert policy.format.name == "bound"
    assert policy.tokenizer.padding_side == base.tokenizer.padding_side == "left"
    root = State(Problem("Tom has 5 apples and eats 2. How many are left?"))
    assert greedy(policy, root) == greedy(base, root)


def test_a_model_that_also_sees_images_is_trained(tmp_path: Path) -> None:
    """Gemma 3 from 4B on describes its language model in a part of its configuration."""
    from transformers import AutoModelForCausalLM, Gemma3Config

    _, tokenizer = tiny_model()
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    size = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {**size, **ends, "vocab_size": len(tokenizer), "num_hidden_layers": 2, "num_key_value_heads": 1}
    vision = {**size, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config={**text, "head_dim": 8}, vision_config=vision, mm_tokens_per_image=4)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = SFTTrainingConfig(**(QUICK | {"learning_rate": None}), step_format="rstar")
    report = train_policy([sum_row(1)], str(tmp_path / "base"), tmp_path / "out", config)
    assert math.isfinite(report["losses"][-1][1])
    assert load_policy(str(tmp_path / "out")).format.name == "rstar"


def test_a_base_without_padding_or_generation_settings_stays_so(base: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "base")
    (folder / "generation_config.json").unlink()
    for name, settings in {"config.json": {"pad_token_id": None}, "tokenizer_config.json": {"pad_token": None}}.items():
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | settings))
    out = tmp_path / "out"
    train_policy([sum_row(1)], str(folder), out, SFTTrainingConfig(**QUICK, step_format="rstar"))
    before, after = load_policy(str(folder)), load_policy(str(out))
    assert after.tokenizer.pad_token is before.tokenizer.pad_token is None
    assert after.model.generation_config.eos_token_id == before.model.generation_config.eos_token_id
    config = json.loads((out / "config.json").read_text())
    assert (config["pad_token_id"], config["treestar_format"]) == (None, "rstar")
    assert (before.format.name, after.format.name) == ("rstar", "rstar")


def test_what_confidence_means_is_not_inherited(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "base", treestar_calibrations={"mcts": {"slope": 1.0, "intercept": -1.0}})
    train_policy([sum_row(1)], str(folder), tmp_path / "out", SFTTrainingConfig(**QUICK, step_format="rstar"))
    assert [len(load_policy(str(each)).calibrations) for each in (folder, tmp_path / "out")] == [1, 0]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_a_damaged_checkpoint_is_one_sentence_and_can_be_deleted(base: str, tmp_path: Path, name: str) -> None:
    def kill(progress: Any) -> None:
        if progress.step == 3:
            raise Killed

    rows, config = [sum_row(number) for number in range(6)], SFTTrainingConfig(**QUICK, save_steps=2)
    with pytest.raises(Killed):
        train_policy(rows, base, tmp_path, config, on_progress=kill)
    file = tmp_path / "checkpoint-2" / name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TreestarError, match=r"checkpoint-2 cannot be continued from: .*\. If it is damaged, delete it"):
        train_policy(rows, base, tmp_path, config, resume=True)
    shutil.rmtree(tmp_path / "checkpoint-2")
    assert train_policy(rows, base, tmp_path, config, resume=True)["resumed_from"] is None


def test_two_trainings_in_one_folder_are_refused(base: str, tmp_path: Path) -> None:
    """The second one begins while the first has no checkpoint yet, and after it was finished."""

    def train_another(_: Any) -> None:
        with pytest.raises(TreestarError, match=r"is in use by another job, process \d+ on"):
            train_policy(rows, base, out, config, resume=True)

    def train_first(_: Any) -> None:
        train_policy(rows, base, tmp_path / "late", config)

    rows, out, config = [sum_row(1)], tmp_path / "out", SFTTrainingConfig(**QUICK)
    train_policy(rows, base, out, config, on_progress=train_another)
    assert {path.name for path in out.iterdir()} == FILES | {"training.json"}
    with pytest.raises(TreestarError, match="late already contains a model"):
        train_policy(rows, base, tmp_path / "late", config, on_data=train_first)


class Killed(Exception):
    pass


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    """Killed in the middle of the second epoch, after a checkpoint there; the names are shifted by the same offsets."""
    rows = [sum_row(number, "bound") for number in range(10)]
    config = SFTTrainingConfig(**QUICK, save_steps=1)
    whole = train_policy(rows, "toy", tmp_path / "whole", config)

    def kill(progress: Any) -> None:
        if progress.step == 5:
            raise Killed

    out = tmp_path / "killed"
    with pytest.raises(Killed):
        train_policy(rows, "toy", out, config, on_progress=kill)
    assert not (out / "config.json").exists()
    with pytest.raises(TreestarError, match="--resume"):
        train_policy(rows, "toy", out, config)
    with pytest.raises(TreestarError, match=r"made with other settings \(seed\)"):
        train_policy(rows, "toy", out, SFTTrainingConfig(**QUICK, save_steps=1, seed=1), resume=True)
    with pytest.raises(TreestarError, match=r"made with other settings \(rows\): use the same rows to continue it"):
        train_policy(rows[1:], "toy", out, config, resume=True)
    resumed = train_policy(rows, "toy", out, config, resume=True)
    assert (resumed["resumed_from"], resumed["steps"]) == ("checkpoint-4", 6)
    assert whole["losses"] == resumed["losses"]
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not list(out.glob("checkpoint-*"))


def test_packed_rows_make_the_step_of_separate_ones(base: str, tmp_path: Path) -> None:
    """Each sequence of a pack sees only itself, at its own positions."""
    rows = [sum_row(number) for number in (1, 22)]
    settings = {"learning_rate": 0.01, "epochs": 1, "warmup": 0.0, "training_arguments": {"optim": "sgd"}}
    found = {}
    for packing in (False, True):
        config = SFTTrainingConfig(**settings, batch_size=2, packing=packing, max_length=500)
        found[packing] = train_policy(rows, base, tmp_path / str(packing), config)
    assert found[True]["steps"] == found[False]["steps"] == 1
    assert found[True]["losses"][0][1] == pytest.approx(found[False]["losses"][0][1], rel=1e-5)
    separate, packed = weights(tmp_path / "False"), weights(tmp_path / "True")
    assert not torch.equal(separate["lm_head.weight"], weights(base)["lm_head.weight"])
    for name in separate:
        assert torch.allclose(separate[name], packed[name], atol=1e-5), name


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_policy("toy").tokenizer


@pytest.mark.parametrize("packing", [False, True])
def test_a_rows_names_move_together_and_anew_each_epoch(tokenizer: Any, tmp_path: Path, packing: bool) -> None:
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig

    from treestar.training.sft.trainer import PolicyTrainer

    names = BoundFormat().interchangeable_tokens(tokenizer)
    [shown] = token_rows(tokenizer, BoundFormat(), sum_row(1, "bound").trajectory)
    arguments = SFTConfig(str(tmp_path), packing=packing, max_length=800 if packing else None, use_cpu=True, bf16=False)
    model = AutoModelForCausalLM.from_pretrained(MODEL_PATH)
    trainer = PolicyTrainer(model, tokenizer, [shown] * 20, names, arguments, None, None, lambda _: None)

    def distances(epoch: int) -> list[int]:
        trainer.state.epoch = float(epoch)
        tensors = trainer.tensors([trainer.train_dataset[index] for index in range(len(trainer.train_dataset))])
        moved, labels = tensors["input_ids"].reshape(20, -1), tensors["labels"].reshape(20, -1)
        steps = []
        for ids, targets in zip(moved.tolist(), labels.tolist(), strict=True):
            [step] = {new - old for new, old in zip(ids, shown.ids, strict=True) if old in names}
            assert all(new == old for new, old in zip(ids, shown.ids, strict=True) if old not in names)
            # TRL computes no loss on the first token of a packed sequence; here it never has one either.
            assert targets == [new if old != NO_LOSS else NO_LOSS for new, old in zip(ids, shown.labels, strict=True)]
            assert all(new in names for new, old in zip(ids, shown.ids, strict=True) if old in names)
            steps.append(step)
        return steps

    first, second = distances(0), distances(1)
    assert len(set(first)) > 5
    assert first != second
    assert distances(0) == first


def test_every_epoch_shows_every_row_once_in_an_order_of_its_own() -> None:
    from treestar.training.order import SimilarLengths

    lengths = [10] * 30 + [100] * 30 + [1000] * 3
    epoch = [0]
    sampler = SimilarLengths(lengths, 6, 0, lambda: epoch[0])
    orders = []
    for number in (0, 1, 0):
        epoch[0] = number
        orders.append(list(sampler))
    assert orders[0] == orders[2] != orders[1]
    for order in orders:
        assert sorted(order) == list(range(63))
        batches = [{lengths[row] for row in order[start : start + 6]} for start in range(0, 63, 6)]
        assert sum(len(batch) > 1 for batch in batches) <= 4


def test_the_loss_is_the_mean_over_all_tokens_with_one(base: str) -> None:
    from treestar.training.sft.trainer import summed_loss

    model = load_causal_model(base)
    rows = [[7, 8, 9, 10, 11, 12], [20, 21, 22, 23, 0, 0], [30, 31, 32, 33, 34, 35]]
    learned = [range(3, 5), range(1, 4), range(0)]
    ids = torch.tensor(rows)
    labels = torch.full_like(ids, NO_LOSS)
    for row, columns in enumerate(learned):
        labels[row, list(columns)] = ids[row, list(columns)]
    expected = sum(
        -model(ids[row : row + 1]).logits[0, column - 1].log_softmax(-1)[ids[row, column]]
        for row, columns in enumerate(learned)
        for column in columns
    )
    found = summed_loss(model, labels, input_ids=ids, attention_mask=(ids != 0).long())
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert summed_loss(model, torch.full_like(ids, NO_LOSS), input_ids=ids).item() == 0


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    base = save_tiny_model(tmp_path / "base", treestar_format="rstar")
    broken = weights(base)
    broken["model.norm.weight"][0] = math.nan
    save_file(broken, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(TreestarError, match=r"the loss at step 1 is nan.*lower learning rate"):
        train_policy([sum_row(1)], str(base), tmp_path / "out", SFTTrainingConfig(**QUICK))


def test_weights_that_are_no_numbers_after_the_last_step_are_not_stored(base: str, tmp_path: Path) -> None:
    config = SFTTrainingConfig(learning_rate=1e39, warmup=0.0, epochs=1.0)
    with pytest.raises(TreestarError, match="training diverged: the weights"):
        train_policy([sum_row(1)], base, tmp_path, config)
    assert not (tmp_path / "model.safetensors").exists()


def test_arguments_of_trl_win_and_wrong_ones_are_named(base: str, tmp_path: Path) -> None:
    config = SFTTrainingConfig(**QUICK, training_arguments={"max_steps": 1, "model_init_kwargs": {"dtype": "bfloat16"}})
    assert train_policy([sum_row(1)], base, tmp_path / "a", config)["steps"] == 1
    config = SFTTrainingConfig(**QUICK, training_arguments={"no_such_argument": 1})
    with pytest.raises(TreestarError, match=r"cannot be set up.*no_such_argument"):
        train_policy([sum_row(1)], base, tmp_path / "b", config)


def test_muon_takes_the_learning_rate_of_the_arguments_and_refuses_those_of_other_optimizers(
    base: str, tmp_path: Path
) -> None:
    """They win over the configuration; none may have no effect."""
    settings = {**QUICK, "warmup": 0.0, "optimizer": "muon"}
    config = SFTTrainingConfig(**settings, training_arguments={"learning_rate": 0.0})
    train_policy([sum_row(1)], base, tmp_path / "a", config)
    before, after = weights(base), weights(tmp_path / "a")
    assert all(torch.equal(before[name], after[name]) for name in before)
    config = SFTTrainingConfig(**settings, training_arguments={"optim": "sgd", "weight_decay": 0.1})
    with pytest.raises(TreestarError, match="optim, weight_decay would have no effect with the optimizer muon"):
        train_policy([sum_row(1)], base, tmp_path / "b", config)


def test_a_finished_model_is_not_written_over(base: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(TreestarError, match="already contains a model"):
        train_policy([sum_row(1)], base, tmp_path, resume=True)


def test_a_base_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=r"policy '\./nothing': there is no such folder"):
        train_policy([sum_row(1)], "./nothing", tmp_path)


def test_a_run_that_was_killed_while_it_moved_its_adapter_is_resumed(base: str, tmp_path: Path) -> None:
    """The last thing that a run does; its checkpoint is still there."""
    config = SFTTrainingConfig(**QUICK, lora={"r": 2, "target_modules": ["q_proj"]})
    train_policy([sum_row(1)], base, tmp_path / "whole", config)
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole" / "adapter").rename(tmp_path / "killed" / "adapter")
    assert train_policy([sum_row(1)], base, tmp_path / "killed", config, resume=True)["steps"] == 2
    assert (tmp_path / "killed" / "adapter" / "adapter_model.safetensors").exists()


def test_lora_trains_adapters_and_stores_whole_weights(base: str, tmp_path: Path) -> None:
    lora = {"r": 4, "target_modules": ["q_proj", "v_proj"]}
    report = train_policy([sum_row(1)], base, tmp_path, SFTTrainingConfig(**(QUICK | {"epochs": 20.0}), lora=lora))
    assert report["losses"][-1][1] < report["losses"][0][1]
    before, after = weights(base), weights(tmp_path)
    assert before.keys() == after.keys()
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "v_proj"}
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"adapter", "training.json"}
    alone = load_causal_model(str(tmp_path / "adapter"))
    assert alone.config.treestar_format == "rstar"
    assert all(torch.allclose(weight, after[name], atol=1e-6) for name, weight in alone.state_dict().items())
    with pytest.raises(TreestarError, match="cannot be set up"):
        train_policy([sum_row(1)], base, tmp_path / "b", SFTTrainingConfig(lora={"no_such_field": 1}))


def test_tokens_weigh_alike_whatever_the_model_says_of_its_own_loss(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemma 3 from 4B on says that its loss must not be divided by a number of tokens."""
    monkeypatch.setattr("transformers.LlamaForCausalLM.accepts_loss_kwargs", False, raising=False)
    rows = [sum_row(1), sum_row(10**9)]
    settings = {"learning_rate": 0.1, "epochs": 1.0, "warmup": 0.0, "training_arguments": {"optim": "sgd"}}
    for name, sizes in {"one": {"batch_size": 2}, "two": {"batch_size": 1, "accumulation": 2}}.items():
        train_policy(rows, base, tmp_path / name, SFTTrainingConfig(**settings, **sizes))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_another_loss_of_trl_is_the_one_that_is_trained(base: str, tmp_path: Path) -> None:
    losses = {}
    for name, arguments in {
        "plain": {},
        "dft": {"loss_type": "dft"},
        "smooth": {"label_smoothing_factor": 0.5},
    }.items():
        config = SFTTrainingConfig(**(QUICK | {"epochs": 1.0}), training_arguments={"use_cpu": True, **arguments})
        losses[name] = train_policy([sum_row(1)], base, tmp_path / name, config)["losses"][0][1]
    assert losses["dft"] < 0.5 * losses["plain"], "each token's loss is multiplied by its probability"
    assert losses["smooth"] != pytest.approx(losses["plain"], rel=1e-3)


def test_nothing_is_sent_anywhere(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL sends telemetry for each training unless it is disabled."""
    sent: list[Any] = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda **what: sent.append(what))
    train_policy([sum_row(1)], base, tmp_path, SFTTrainingConfig(**QUICK))
    assert not sent


@pytest.mark.parametrize(
    ("field", "value"), [("batch_size", 0), ("max_length", 1), ("epochs", 0), ("learning_rate", math.nan)]
)
def test_a_setting_that_is_not_allowed_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"SFTTrainingConfig.{field} must be"):
        SFTTrainingConfig(**{field: value})
