"""`treestar ppm` as its user meets it: real processes, the embedded model, and what it says about bad input."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.ppm_trees import telling_tree
from support.tiny_model import save_tiny_model

from treestar.cli import main
from treestar.training.run import last_checkpoint

COMMAND = str(Path(sys.executable).parent / "treestar")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 trees as `--save-tree` writes them, one more in a .jsonl file, a truncated one, and one that nobody judged."""
    folder = tmp_path_factory.mktemp("trees")
    for number in range(12):
        telling_tree(number).save(folder / f"{number}.json")
    (folder / "more.jsonl").write_text(json.dumps(telling_tree(12).to_json()) + "\n")
    (folder / "cut.json").write_text((folder / "1.json").read_text()[:700])
    unjudged = telling_tree(13)
    for node in unjudged.terminals():
        node.correct = None
    unjudged.save(folder / "unjudged.json")
    return folder


@pytest.fixture
def treestar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call `treestar ppm` in this process: exit code, stdout, stderr. It must never end with a traceback."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["treestar", "ppm", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, err

    return call


def test_train_and_eval(treestar, trees: Path, tmp_path: Path) -> None:
    code, _, said = treestar("train", "--trees", trees, "--out", tmp_path / "ppm", "--epochs", "1")
    assert code == 0, said
    assert "14 trees read; 2 gave no pairs (1 unjudged, 1 unreadable)" in said
    assert "skipped cut.json: unreadable" in said
    assert "skipped p13: unjudged" in said
    assert re.search(r"training on \d+ terms of 12 problems .*; held out \d+ pairs of 1 problems", said)
    assert re.search(r"epoch 1\.0  loss 0\.\d+  held-out pair accuracy [01]\.\d+", said)
    report = json.loads((tmp_path / "ppm" / "training.json").read_text())
    assert report["settings"]["policy"] == "embedded"
    assert report["data"]["trees"]["skipped"] == {"unjudged": 1, "unreadable": 1}

    code, table, said = treestar("eval", "--ppm", tmp_path / "ppm", "--trees", trees, "--out", tmp_path / "eval")
    assert code == 0, said
    assert re.search(r"pair accuracy +[01]\.\d+", table)
    evaluation = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert evaluation["pair_accuracy"]["problems"] == 13
    assert (tmp_path / "eval" / "reliability.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_killed_process_is_resumed(treestar, trees: Path, tmp_path: Path) -> None:
    policy, out = save_tiny_model(tmp_path / "policy", treestar_format="rstar"), tmp_path / "ppm"
    arguments = ["train", "--trees", trees, "--policy", policy, "--out", out, "--batch-tokens", 300, "--save-steps", 4]
    command = [COMMAND, "ppm", *map(str, arguments), "--epochs", "20"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while last_checkpoint(out) is None:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, _, said = treestar(*arguments, "--epochs", "20")
    assert (code, "go on with --resume" in said) == (1, True)
    code, _, said = treestar(*arguments, "--epochs", "2", "--resume")
    assert (code, "begun with other epochs" in said) == (1, True)
    code, _, said = treestar(*arguments, "--epochs", "20", "--resume")
    assert code == 0, said
    assert json.loads((out / "training.json").read_text())["resumed_from"].startswith("checkpoint-")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["train", "--out", "OUT"], 2, "Missing option '--trees'"),
        (["train", "--trees", "EMPTY", "--out", "OUT"], 1, "no trees in"),
        (["train", "--trees", "TREES", "--out", "OUT", "--objective", "dpo"], 2, "dpo"),
        (["train", "--trees", "TREES", "--out", "OUT", "--epochs", "0"], 2, "epochs must be a finite number above 0"),
        (["train", "--trees", "TREES", "--out", "OUT", "--policy", "./nothing"], 1, "there is no config.json"),
        (["train", "--trees", "TREES", "--out", "OUT", "--policy", "NOENDS"], 1, "has no step ends"),
        (["train", "--trees", "TREES", "--out", "/proc/out"], 1, "cannot be written"),
        (["train", "--trees", "TREES", "--out", "OUT", "--training-arguments", "EMPTY"], 1, "cannot be read"),
        (["train", "--trees", "ONESIDED", "--out", "OUT"], 1, "1 one outcome"),
        (["train", "--trees", "TREES", "--out", "OUT", "--report-to", "nobody"], 1, "nobody"),
        (["eval", "--trees", "TREES", "--ppm", "./nothing", "--out", "OUT"], 1, "there is no config.json"),
        (["eval", "--trees", "ONESIDED", "--ppm", "POLICY", "--out", "OUT"], 1, "no process preference model"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    treestar, arguments: list[str], code: int, sentence: str, trees: Path, tmp_path: Path
) -> None:
    named = {"TREES": trees, "OUT": tmp_path / "out", "EMPTY": tmp_path, "POLICY": tmp_path / "policy"}
    if "POLICY" in arguments:
        save_tiny_model(tmp_path / "policy")
    if "NOENDS" in arguments:
        named["NOENDS"] = without_step_ends(tmp_path / "no_ends")
    if "ONESIDED" in arguments:
        named["ONESIDED"] = tmp_path / "tree.json"
        tree = telling_tree(0)
        for node in tree.terminals():
            node.correct = False
        tree.save(named["ONESIDED"])
    ended, out, err = treestar(*(named.get(argument, argument) for argument in arguments))
    assert ended == code, err
    assert sentence in re.sub(r"\s+", " ", out + err)


def without_step_ends(folder: Path) -> Path:
    """A policy whose tokenizer writes the tags as its unknown token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    save_tiny_model(folder, treestar_format="rstar")
    backend = Tokenizer(models.WordLevel({"?": 0, "a": 1, "<eos>": 2}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?", eos_token="<eos>").save_pretrained(folder)
    return folder
