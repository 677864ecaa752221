"""`treestar judge` and `treestar train judge` as users see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.instruct_server import InstructServer
from support.judging import annotated, save_long_tiny_model, walks

from treestar.judge.config import AnnotationConfig
from treestar.storage.files import locked

pytest.importorskip("reasoning_gym")


def test_chunks_of_the_shipped_policy_are_labeled_and_labeled_anew(treestar, tmp_path: Path) -> None:
    out = tmp_path / "chunks"
    command = ["judge", "annotate", "rg:chain_sum:mid", "--policy", "toy-bootstrap", "--limit", 6, "--out", out]
    command += ["--responses", 6, "--completions", 2, "--trajectories", 2]
    code, _, said = treestar(*command)
    assert code == 0, said
    assert "6 training problems; left out 0 duplicates" in said
    assert "of 6 problems kept" in said
    assert f"written: {out}" in said
    code, _, again = treestar(*command, "--rule", "abs_q")
    assert code == 0, again
    assert json.loads((out / "settings.json").read_text())["rule"] == "abs_q"
    ended = treestar(*command[:-1], 3)
    assert ended.code == 1
    assert "other settings (trajectories)" in ended.said
    with locked(out):
        ended = treestar(*command)
    assert (ended.code, f"{out} is in use by another job, process" in ended.said) == (1, True)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("annotate", "interrupted; to continue, run the same command: "),
        ("segment", "to continue, run the same command: "),
    ],
)
def test_what_is_said_after_ctrl_c_can_be_done(
    treestar, command: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"treestar.reinforcement.judge_stages.{command}_problems", interrupted)
    ended = treestar("judge", command, "rg:gcd", "--limit", 3, "--out", tmp_path / "out")
    assert ended.code == 1
    assert f"{hint}{tmp_path / 'out'}" in ended.said


FIRST, SECOND = "We add 3 and 4 to get the number of all pens.", "Next, none is taken away, so it stays that."


@pytest.mark.parametrize(
    ("marked", "kept"), [(f"<chunk>{FIRST}</chunk>\n<chunk>{SECOND}</chunk>", True), (f"<chunk>{FIRST}</chunk>", False)]
)
def test_solutions_of_a_server_are_cut_by_another(treestar, marked: str, kept: bool, tmp_path: Path) -> None:
    problems, out = tmp_path / "problems.jsonl", tmp_path / "segments"
    problems.write_text(json.dumps({"id": "pens", "question": "3 + 4?", "answer": "7"}) + "\n")
    solution = f"{FIRST}\n\n{SECOND}\n\nThe answer is \\boxed{{7}}."
    with InstructServer(solution) as policy, InstructServer(marked) as segmenter:
        ended = treestar(
            "judge", "segment", f"jsonl:{problems}", "--out", out,
            "--policy", f"openai:Qwen2.5-7B-Instruct@{policy.url}", "--step-format", "cot",
            "--segmenter", f"openai:Qwen2.5-72B-Instruct@{segmenter.url}", "--responses", 2,
            "--tries", 2,
        )  # fmt: skip
    if kept:
        assert ended.code == 0, ended.said
        assert "1 of 1 right solutions of 1 problems kept" in ended.said
        assert "2.0 chunks a solution instead of 2.0 paragraphs" in ended.said
    else:
        assert ended.code == 1
        assert "none of 1 right solutions kept (1 inexact" in ended.said


def test_a_judge_is_trained_from_labeled_chunks(treestar, tmp_path: Path) -> None:
    import asyncio

    asyncio.run(annotated(tmp_path / "chunks", walks(8), AnnotationConfig(responses=8, completions=8)))
    settings = tmp_path / "training.yaml"
    settings.write_text("mode: direct\nsft: {epochs: 1, batch_size: 4}\nheld_out: 0.0\n")
    base = save_long_tiny_model(tmp_path / "base")
    code, _, said = treestar(
        "train", "judge", tmp_path / "chunks", "--base", base, "--out", tmp_path / "judge", "--settings", settings,
        "--mode", "discriminative", "--rule", "abs_q",
    )  # fmt: skip
    assert code == 0, said
    assert "labeled chunks" in said
    assert f"written: {tmp_path / 'judge'}" in said
    assert json.loads((tmp_path / "judge" / "config.json").read_text())["treestar_scorer_kind"] == "rlhflow-prm"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["judge", "annotate", "gsm8k", "--out", "OUT"], 1, "no training problems named 'gsm8k'"),
        (["judge", "annotate", "rg:chess", "--out", "OUT"], 1, "family must be one of"),
        (
            ["judge", "annotate", "rg:gcd", "--out", "OUT", "--completions", "0"],
            2,
            "completions must be a whole number",
        ),
        (["judge", "segment", "rg:gcd", "--out", "OUT", "--policy", "./nowhere"], 1, "nowhere"),
        (["judge", "run", "--out", "OUT"], 2, "give a job file"),
        (["judge", "run", "./nothing.yaml", "--out", "OUT"], 1, "cannot be read"),
        (["train", "judge", "./nowhere", "--out", "OUT"], 1, "has no labeled chunks"),
        (["train", "judge", "./nowhere", "--out", "OUT", "--gamma", "-1"], 2, "gamma must be"),
        (["train", "judge", "./nowhere", "--out", "OUT", "--settings", "./no.yaml"], 1, "cannot be read"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    treestar, arguments: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    ended = treestar(*[str(tmp_path / "out") if each == "OUT" else each for each in arguments])
    assert ended.code == code, ended.said
    assert sentence in ended.said


def test_show_prints_every_field(treestar, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("problems: {gym: [{family: gcd, level: easy, problems: 3}]}\n")
    code, printed, _ = treestar("judge", "run", path, "--show")
    assert code == 0
    for field in (
        "annotation:",
        "completions: 16",
        "segmentation: null",
        "mode: grpo",
        "group_size: 4",
        "epsilon_high: 0.28",
    ):
        assert field in printed
