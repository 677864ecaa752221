"""`treestar train` as users see it: real processes, the toy model, and messages about bad input."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from support.ppm_trees import save_one_sided_tree, save_telling_trees, telling_tree
from support.tiny_model import save_tiny_model

from tests.support.killed import kill_after_a_checkpoint
from treestar.policy import load_policy
from treestar.policy.formats import RStarFormat
from treestar.ppm import read_trees
from treestar.selfevolve.job import SelectionConfig
from treestar.selfevolve.selection import SFT, select
from treestar.storage.table import Table

COMMAND = str(Path(sys.executable).parent / "treestar")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_telling_trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny policy in the step format of the trees."""
    return save_tiny_model(tmp_path_factory.mktemp("base"), treestar_format="bound")


def report_of(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text())


def test_ppm(treestar, trees: Path, tmp_path: Path) -> None:
    code, _, said = treestar("train", "ppm", "--trees", trees, "--out", tmp_path / "ppm", "--epochs", "1")
    assert code == 0, said
    assert "14 trees read; 2 gave no pairs (1 unjudged, 1 unreadable)" in said
    assert "skipped cut.json: unreadable" in said
    assert "skipped p13: unjudged" in said
    assert re.search(r"training on \d+ terms of 12 problems .*; held out \d+ pairs of 1 problems", said)
    assert re.search(r"epoch 1\.0  loss 0\.\d+  held-out pair accuracy [01]\.\d+", said)
    report = report_of(tmp_path / "ppm")
    assert report["settings"]["policy"] == "toy"
    assert report["data"]["trees"]["skipped"] == {"unjudged": 1, "unreadable": 1}


def test_sft_from_trees(treestar, trees: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("{optim: sgd, max_grad_norm: 5e-1}")
    out = tmp_path / "policy"
    arguments = ("--base", base, "--epochs", "3", "--batch-size", "2", "--training-arguments", tmp_path / "more.yaml")
    code, _, said = treestar("train", "sft", "--trees", trees, "--out", out, *arguments)
    assert code == 0, said
    assert "14 trees read, 1 unreadable; 13 right trajectories of 13 problems" in said
    assert re.search(r"training on 13 trajectories in 13 rows, [\d,]+ tokens", said)
    assert "step 7 of 21  epoch 1.0" in said
    assert f"written: {out}" in said
    report = report_of(out)
    assert (report["settings"]["base"], report["settings"]["epochs"], report["steps"]) == (str(base), 3.0, 21)
    assert report["settings"]["training_arguments"] == {"optim": "sgd", "max_grad_norm": 0.5}
    assert load_policy(str(out)).format.name == "bound"


def test_sft_takes_the_best_trajectories_of_a_problem_over_all_its_trees(treestar, base: Path, tmp_path: Path) -> None:
    for seed in range(4):
        telling_tree(3, seed).save(tmp_path / f"{seed}.json")
    arguments = ("--base", base, "--epochs", "1", "--out", tmp_path / "out", "--trajectories", "3")
    code, _, said = treestar("train", "sft", "--trees", tmp_path, *arguments)
    assert code == 0, said
    assert "4 trees read, 0 unreadable; 3 right trajectories of 1 problems" in said


def test_sft_from_the_rows_that_self_evolution_selected(treestar, trees: Path, base: Path, tmp_path: Path) -> None:
    found = list(read_trees(trees))
    for tree in found:
        tree.problem.metadata["cell"] = "sums"
    difficulties = dict.fromkeys([tree.problem.id for tree in found], "medium")
    selection = select(1, found, difficulties, [], SelectionConfig(), RStarFormat())
    rows = tmp_path / "round-1" / "sft"
    with Table(rows, SFT) as table:
        table.replace(selection.rows)
    arguments = ("--base", base, "--epochs", "1")
    for number, given in enumerate((rows, rows / "00000.parquet")):
        code, _, said = treestar("train", "sft", "--rows", given, "--out", tmp_path / str(number), *arguments)
        assert code == 0, said
    assert report_of(tmp_path / "0")["data"]["trajectories"] == 13
    assert report_of(tmp_path / "0")["fingerprint"] == report_of(tmp_path / "1")["fingerprint"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ppm", "sft"])
def test_a_killed_process_is_resumed(treestar, trees: Path, base: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    own = {"ppm": ["--policy", base, "--batch-tokens", 300], "sft": ["--base", base, "--batch-size", 2]}[kind]
    arguments = ["train", kind, "--trees", trees, "--out", out, "--save-steps", 4, *own]
    command = [COMMAND, *map(str, arguments), "--epochs", "20"]
    kill_after_a_checkpoint(command, out)
    code, _, said = treestar(*arguments, "--epochs", "20")
    assert code == 1
    assert "--resume" in said
    code, _, said = treestar(*arguments, "--epochs", "2", "--resume")
    assert code == 1
    assert "epochs" in said
    code, _, said = treestar(*arguments, "--epochs", "20", "--resume")
    assert code == 0, said
    assert report_of(out)["resumed_from"].startswith("checkpoint-")


def test_the_old_name_of_train_ppm_still_trains_and_says_the_new_one_once(
    treestar, trees: Path, tmp_path: Path
) -> None:
    policy, out = save_tiny_model(tmp_path / "policy", treestar_format="rstar"), tmp_path / "ppm"
    code, printed, said = treestar("ppm", "train", "--trees", trees, "--policy", policy, "--out", out, "--epochs", "1")
    assert (code, printed) == (0, "")
    assert said.count("`treestar ppm train` is now `treestar train ppm`") == 1
    assert report_of(out)["settings"]["epochs"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["ppm", "--out", "OUT"], 2, "Missing option '--trees'"),
        (["ppm", "--trees", "EMPTY", "--out", "OUT"], 1, "no trees in"),
        (["ppm", "--trees", "TREES", "--out", "OUT", "--objective", "dpo"], 2, "dpo"),
        (["ppm", "--trees", "TREES", "--out", "OUT", "--epochs", "0"], 2, "epochs must be a finite number above 0"),
        (["ppm", "--trees", "TREES", "--out", "OUT", "--policy", "./nothing"], 1, "there is no such folder"),
        (["ppm", "--trees", "TREES", "--out", "OUT", "--policy", "NOENDS"], 1, "has no step ends"),
        (["ppm", "--trees", "TREES", "--out", "/proc/out"], 1, "cannot be written"),
        (["ppm", "--trees", "TREES", "--out", "OUT", "--training-arguments", "EMPTY"], 1, "cannot be read"),
        (
            ["ppm", "--trees", "TREES", "--out", "OUT", "--training-arguments", "no.yaml"],
            1,
            "cannot be read: No such file",
        ),
        (["ppm", "--trees", "ONESIDED", "--out", "OUT"], 1, "1 one outcome"),
        (["ppm", "--trees", "TREES", "--out", "OUT", "--report-to", "nobody"], 1, "nobody"),
        (["sft", "--out", "OUT"], 2, "give --trees, --rows, or both"),
        (
            ["sft", "--rows", "EMPTY", "--out", "OUT"],
            1,
            "give a folder written by `treestar evolve`, such as OUT/round-1/sft",
        ),
        (["sft", "--rows", "LIST", "--out", "OUT"], 1, "cannot be read as a table of training rows"),
        (["sft", "--trees", "ONESIDED", "--out", "OUT"], 1, "no training data"),
        (["sft", "--trees", "TREES", "--out", "OUT", "--base", "./nothing"], 1, "there is no such folder"),
        (["sft", "--trees", "TREES", "--out", "OUT", "--batch-size", "0"], 2, "--batch-size must be"),
        (["sft", "--trees", "TREES", "--out", "OUT", "--training-arguments", "LIST"], 1, "must be an object"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    treestar, arguments: list[str], code: int, sentence: str, trees: Path, tmp_path: Path
) -> None:
    named = {"TREES": trees, "OUT": tmp_path / "out", "EMPTY": tmp_path, "LIST": tmp_path / "list.yaml"}
    named["LIST"].write_text("[1, 2]")
    if "NOENDS" in arguments:
        named["NOENDS"] = without_step_ends(tmp_path / "no_ends")
    if "ONESIDED" in arguments:
        named["ONESIDED"] = save_one_sided_tree(tmp_path / "tree.json")
    ended, out, err = treestar("train", *(named.get(argument, argument) for argument in arguments))
    assert ended == code, err
    assert sentence in re.sub(r"\s+", " ", out + err)


def without_step_ends(folder: Path) -> Path:
    """A policy whose tokenizer writes the tags as its unknown token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    save_tiny_model(folder, treestar_format="rstar")
    known = ["?", *"abcĠĊ", "<eos>"]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(known)}, [], unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?", eos_token="<eos>").save_pretrained(folder)
    return folder
