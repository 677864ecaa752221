"""Judges trained from the tiny model in every mode: what is written, how it is loaded, and a run that was stopped."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.judging import examples_of_walks, save_long_tiny_model

from treestar.judge import VERDICTS
from treestar.judge.load import is_judge, load_judge
from treestar.policy import load_policy
from treestar.ppm.load import load_scorer
from treestar.storage.table import Table
from treestar.training.base_policy import load_base
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.judge.config import JudgeGRPOConfig, JudgeTrainingConfig
from treestar.training.judge.data import Analyses, Example, Prompts
from treestar.training.judge.rejection import REPLIES, check_origin, right_replies
from treestar.training.judge.train import COLD_START, Listener, train_judge
from treestar.training.sft.config import SFTTrainingConfig
from treestar.types import TreestarError

EXAMPLES = examples_of_walks(12)

GRPO = JudgeGRPOConfig(
    steps=2, problems_per_step=2, updates=1, max_tokens=12, dynamic_sampling=0, save_steps=1, warmup=0.0
)
SFT = SFTTrainingConfig(epochs=1, batch_size=4, warmup=0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_long_tiny_model(tmp_path_factory.mktemp("base"))


def settings(mode: str, **others: Any) -> JudgeTrainingConfig:
    chosen = {"held_out": 0.3, "evaluated": 4, "evaluate_every": 2, "grpo": GRPO, "sft": SFT, **others}
    return JudgeTrainingConfig(mode=mode, **chosen)


def analyses_of(examples: list[Example]) -> Analyses:
    return {each.key: f"Letter. {VERDICTS[each.label]}" for each in examples}


def test_reinforcement_leaves_a_judge_that_says_how_it_is_asked(base: str, tmp_path: Path) -> None:
    said: list[str] = []
    figures: list[GRPOProgress] = []
    listener = Listener(say=said.append, on_reinforcement=figures.append)
    report = train_judge(EXAMPLES, base, tmp_path / "judge", settings("grpo"), listener=listener)
    assert said[0].startswith("24 labeled chunks, 12 positive; left out 0")
    assert report["steps"] == 2
    assert any("eval_greedy/positive" in each.figures for each in figures)
    config = json.loads((tmp_path / "judge" / "config.json").read_text())
    assert (config["treestar_format"], config["treestar_judge_analysis"]) == ("rstar", True)
    assert is_judge(str(tmp_path / "judge"))
    assert load_policy(str(tmp_path / "judge")).format.name == "rstar"
    scorer = load_judge(str(tmp_path / "judge"))
    scores = asyncio.run(scorer.score([EXAMPLES[0].state]))
    assert -1 <= scores.values[0] <= 1


def test_a_judge_without_analysis_is_penalized_for_a_reply_without_a_verdict(base: str, tmp_path: Path) -> None:
    report = train_judge(EXAMPLES, base, tmp_path / "judge", settings("direct"))
    rewards = report["settings"]["rewards"]
    assert rewards == {"correct": 1.0, "treestar.training.judge.verdicts:missing_verdict": 1.0}
    first = next(entry for entry in report["log"] if "reward" in entry)
    assert first["reward"] == -1.0, "a random model states no verdict"
    assert json.loads((tmp_path / "judge" / "config.json").read_text())["treestar_judge_analysis"] is False


def test_a_cold_start_teaches_the_form_before_reinforcement(base: str, tmp_path: Path) -> None:
    out = tmp_path / "judge"
    train_judge(EXAMPLES, base, out, settings("grpo"), analyses=analyses_of(EXAMPLES))
    cold = json.loads((out / COLD_START / "training.json").read_text())
    assert cold["settings"]["base"] == base
    assert cold["data"]["rows"] < len(EXAMPLES), "no analysis of a held-out chunk is learned"
    assert json.loads((out / "training.json").read_text())["settings"]["policy"] == str(out / COLD_START)
    with pytest.raises(TreestarError, match="already contains a model"):
        train_judge(EXAMPLES, base, out, settings("grpo"), analyses=analyses_of(EXAMPLES))


class StoppedError(Exception):
    """Stands for a kill: nothing is cleaned up by the training itself."""


def stopping(step: int) -> Callable[[GRPOProgress], None]:
    def stop(progress: GRPOProgress) -> None:
        if progress.step == step and "reward" in progress.figures:
            raise StoppedError

    return stop


def test_a_stopped_training_goes_on_from_its_checkpoint(base: str, tmp_path: Path) -> None:
    out, given = tmp_path / "judge", analyses_of(EXAMPLES)
    config = settings("grpo")
    with pytest.raises(StoppedError):
        train_judge(EXAMPLES, base, out, config, analyses=given, listener=Listener(on_reinforcement=stopping(2)))
    with pytest.raises(TreestarError, match="unfinished training: continue it with --resume"):
        train_judge(EXAMPLES, base, out, config, analyses=given)
    other = [replace(each, label=not each.label) for each in EXAMPLES]
    with pytest.raises(TreestarError, match=r"other settings \(problems\)"):
        train_judge(other, base, out, config, analyses=given, resume=True)
    with pytest.raises(TreestarError, match=r"other settings \(analyses\)"):
        train_judge(EXAMPLES, base, out, config, resume=True, analyses=dict(list(given.items())[:9]))
    with pytest.raises(TreestarError, match="began with analyses: give the same ones"):
        train_judge(EXAMPLES, base, out, config, resume=True)
    elsewhere = shutil.copytree(base, tmp_path / "elsewhere")
    with pytest.raises(TreestarError, match=r"other settings \(base\)"):
        train_judge(EXAMPLES, str(elsewhere), out, config, analyses=given, resume=True)
    changed = settings("grpo", sft=replace(SFT, batch_size=2))
    with pytest.raises(TreestarError, match=r"other settings \(batch_size\)"):
        train_judge(EXAMPLES, base, out, changed, analyses=given, resume=True)
    report = train_judge(EXAMPLES, base, out, config, analyses=given, resume=True)
    assert report["resumed_from"] == "checkpoint-1"
    whole = train_judge(EXAMPLES, base, tmp_path / "whole", config, analyses=given)
    rewards = [
        [entry["reward"] for entry in each["log"] if "reward" in entry and entry["step"] == 2]
        for each in (report, whole)
    ]
    assert rewards[0] == rewards[1]


def test_stored_replies_are_imitated_and_not_sampled_again(base: str, tmp_path: Path) -> None:
    out = tmp_path / "judge"
    prompts = Prompts(load_base(base, None), analysis=True)
    config = settings("rejection", replies_kept=2, held_out=0.0)
    check_origin(out / "replies", base, config)
    with Table(out / "replies", REPLIES) as table:
        for each in EXAMPLES:
            message = prompts.message(each.state)
            replies = json.dumps([f"{number} {VERDICTS[each.label]}" for number in range(3 * each.label)])
            row = {"chunk": "", "message": message, "sampled": 4, "right": 3 * each.label, "replies": replies}
            table.append(row)
    said: list[str] = []
    report = train_judge(EXAMPLES, base, out, config, resume=True, listener=Listener(say=said.append))
    assert "36 of 96 sampled replies are right" in said
    assert report["data"]["rows"] == 2 * 12, "two of the three right ones of each, and none of the others is right"
    assert json.loads((out / "config.json").read_text())["treestar_judge_analysis"] is True


@pytest.mark.slow
def test_right_replies_are_sampled_once_and_imitated(base: str, tmp_path: Path) -> None:
    out = tmp_path / "judge"
    said: list[str] = []
    taught = SFTTrainingConfig(epochs=30, batch_size=4, warmup=0.0, learning_rate=3e-3)
    few = EXAMPLES[:6]
    given = {each.key: VERDICTS[each.label] for each in few}
    grpo = JudgeGRPOConfig(max_tokens=30, updates=1)
    config = settings("rejection", replies=4, replies_kept=2, grpo=grpo, sft=taught, held_out=0.0)
    report = train_judge(few, base, out, config, analyses=given, listener=Listener(say=said.append))
    with Table(out / "replies", REPLIES) as table:
        rows = list(table.rows())
    assert len(rows) == len(few)
    assert all(row["sampled"] == 4 for row in rows)
    right = sum(row["right"] for row in rows)
    assert right > 0
    assert f"{right:,} of {4 * len(rows):,} sampled replies are right" in said
    kept = sum(min(2, len(json.loads(row["replies"]))) for row in rows)
    assert report["data"]["rows"] == kept > 0
    assert json.loads((out / "config.json").read_text())["treestar_judge_analysis"] is True


def test_nothing_to_imitate_is_one_sentence(base: str, tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=r"none of the .* sampled replies ends in the right verdict"):
        train_judge(EXAMPLES, base, tmp_path / "judge", settings("rejection", replies=1))
    with pytest.raises(TreestarError, match="unfinished training"):
        train_judge(EXAMPLES, base, tmp_path / "judge", settings("rejection", replies=1))


def test_replies_of_another_model_are_not_taken_for_this_ones(base: str, tmp_path: Path) -> None:
    out = tmp_path / "judge"
    with pytest.raises(TreestarError, match="so there is nothing to learn"):
        train_judge(EXAMPLES, base, out, settings("rejection", replies=1))
    other = shutil.copytree(base, tmp_path / "other")
    with pytest.raises(TreestarError, match=r"made with other settings \(model\)"):
        right_replies([], str(other), str, out / "replies", settings("rejection", replies=1), print)


def test_the_discriminative_judge_is_a_scorer_that_has_learned_its_signs(base: str, tmp_path: Path) -> None:
    out = tmp_path / "judge"
    sft = SFTTrainingConfig(epochs=12, batch_size=4, learning_rate=3e-3)
    few = EXAMPLES[:8]
    report = train_judge(few, base, out, settings("discriminative", sft=sft, held_out=0.0))
    assert report["data"]["tokens_with_loss"] == report["data"]["rows"] == len(few)
    scorer = load_scorer(str(out), aggregate="last")
    scores = asyncio.run(scorer.score([each.state for each in few])).values
    positive = [score for score, each in zip(scores, few, strict=True) if each.label]
    negative = [score for score, each in zip(scores, few, strict=True) if not each.label]
    assert min(positive) > max(negative)


def test_a_discriminative_judge_takes_no_analyses(base: str, tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match="writes no analyses"):
        train_judge(EXAMPLES, base, tmp_path, settings("discriminative"), analyses=analyses_of(EXAMPLES))
