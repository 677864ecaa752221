"""Trains a judge on labeled chunks: by reinforcement, from right replies, or to answer with + or -.

    OUT/cold-start/    the model after fine-tuning on given analyses, from which the rest begins
    OUT/replies/       for `rejection`: the sampled replies
    OUT/               the judge, an ordinary checkpoint, and training.json

Several processes: as `treestar.training.sft.train`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from treestar.judge.load import ANALYSIS_KEY
from treestar.policy.backends.transformers import context_length
from treestar.storage.settings import check_same_settings
from treestar.storage.table import Row
from treestar.training.base_policy import Base, load_base
from treestar.training.grpo.evaluation import HeldOut
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.grpo.train import train_grpo_on
from treestar.training.judge.config import JudgeTrainingConfig
from treestar.training.judge.data import (
    Analyses,
    Example,
    JudgeData,
    Prompts,
    as_problems,
    is_held_out,
    judge_data,
    replies_of,
)
from treestar.training.judge.discriminative import SCORED_AS, discriminative_rows, write_template
from treestar.training.judge.rejection import REPLIES, right_replies
from treestar.training.judge.verdicts import NothingRuns, SameVerdict, VerdictFormat
from treestar.training.run import TrainingProgress, check_folder, check_training, finished_report, is_main_process
from treestar.training.sft.data import SFTData, TokenRow, reply_row
from treestar.training.sft.train import longest_row, train_on
from treestar.types import TreestarError

__all__ = ["COLD_START", "Listener", "train_judge"]

COLD_START = "cold-start"

NO_VERDICT = "treestar.training.judge.verdicts:missing_verdict"
"""The reward of a judge without analysis for a reply without a verdict."""


@dataclass(frozen=True)
class Listener:
    """What is told about a training, or about a job that also makes its data, in the main process."""

    say: Callable[[str], None] = lambda _: None
    """Called with sentences about the data and the phases."""
    on_fine_tuning: Callable[[TrainingProgress], None] = lambda _: None
    """Called after steps of fine-tuning."""
    on_reinforcement: Callable[[GRPOProgress], None] = lambda _: None
    """Called after steps of reinforcement and after evaluations."""
    on_row: Callable[[Row], None] = lambda _: None
    """Called with each new row of data."""


def train_judge(
    examples: Sequence[Example],
    base: str,
    out: str | Path,
    config: JudgeTrainingConfig | None = None,
    *,
    analyses: Analyses | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Train a judge from a policy and write it into the folder `out`, with `training.json`.

    The folder is an ordinary checkpoint, which `load_judge` loads, and after `discriminative` `load_scorer`.

    Args:
        examples: labeled chunks (`read_examples`).
        base: a shipped or fetched policy, a model folder, a GGUF file, or a hub id.
        analyses: replies to fine-tune on first, where the base cannot follow the form of a judgment.
        resume: continue the training in `out`, if any.

    Returns:
        The content of `training.json`.

    Raises:
        TreestarError: a package is missing, the base cannot be loaded, nothing can be trained on, `out` contains
            another run, or training diverged.
    """
    config, out, listener = config or JudgeTrainingConfig(), Path(out), listener or Listener()
    check(out, resume)
    check_analyses(analyses, out, config)
    loaded = load_base(base, None)
    config = config.within(context_length(loaded.config, loaded.tokenizer))
    data = judge_data(examples, Prompts(loaded, config.analysis), config)
    if is_main_process():
        listener.say(str(data))
    if config.mode == "discriminative":
        return discriminate(loaded, data, out, config, listener)
    if analyses is not None:
        known = [example for example in examples if not is_held_out(example, config)]
        start_cold(loaded, replies_of(known, analyses, Prompts(loaded, config.analysis)), out, config, listener)
        loaded = load_base(str(out / COLD_START), None)
    loaded = replace(loaded, entries={ANALYSIS_KEY: config.analysis})
    if config.mode == "rejection":
        return imitate(loaded, data, out, config, listener)
    return reinforce(loaded, data, out, config, listener)


def check(out: Path, resume: bool) -> None:
    """Raises TreestarError if a package is missing or `out` contains something that must not be overwritten."""
    check_training(out, resume)
    # Other processes could already see what the main one has begun.
    begun = [name for name in (COLD_START, REPLIES.name) if is_main_process() and (out / name).exists()]
    if begun and not resume:
        raise TreestarError(f"{out} contains an unfinished training: continue it with --resume, or give another folder")


def check_analyses(analyses: Analyses | None, out: Path, config: JudgeTrainingConfig) -> None:
    """Raises TreestarError if analyses would not be read, or the training in `out` began with some that are missing."""
    if analyses is not None and config.mode == "discriminative":
        raise TreestarError(
            "a discriminative judge writes no analyses, so it cannot learn any: leave them out, or choose another mode"
        )
    if analyses is None and (out / COLD_START).exists():
        raise TreestarError(
            f"the training in {out} began with analyses: give the same ones (--analyses) to continue it, or another "
            "folder"
        )


def start_cold(
    base: Base, replies: Sequence[tuple[str, str]], out: Path, config: JudgeTrainingConfig, listener: Listener
) -> None:
    """Fine-tune on given replies, unless that is done.

    Raises:
        TreestarError: it was done with other replies or settings, or from another base.
    """
    folder = out / COLD_START
    data = fitting(base, reply_rows(Prompts(base, config.analysis), replies), config)
    if (folder / "config.json").exists():
        done = finished_report(folder)
        now = json.loads(json.dumps({"base": base.name, **asdict(config.sft)}))
        check_same_settings(folder, {name: done["settings"].get(name) for name in now}, now)
        analyses = {"analyses": done["fingerprint"]}, {"analyses": data.fingerprint}
        check_same_settings(folder, *analyses, "use the same analyses")
        return
    check_folder(folder, resume=True)
    fine_tune(base, data, folder, config, listener)


def discriminate(
    base: Base, data: JudgeData, out: Path, config: JudgeTrainingConfig, listener: Listener
) -> dict[str, Any]:
    """Fine-tune to answer each chunk with + or -."""
    examples = (example for example, _ in data.training)
    rows = fitting(base, discriminative_rows(examples, Prompts(base, analysis=False)), config)
    return fine_tune(replace(base, entries=SCORED_AS), rows, out, config, listener, write_template)


def imitate(base: Base, data: JudgeData, out: Path, config: JudgeTrainingConfig, listener: Listener) -> dict[str, Any]:
    """Fine-tune on the base's own right replies."""
    prompts = Prompts(base, config.analysis)
    problems = as_problems(data.training)
    say = listener.say if is_main_process() else lambda _: None
    replies = right_replies(problems, base.name, prompts.template, out / REPLIES.name, config, say)
    return fine_tune(base, fitting(base, reply_rows(prompts, replies), config), out, config, listener)


def reinforce(
    base: Base, data: JudgeData, out: Path, config: JudgeTrainingConfig, listener: Listener
) -> dict[str, Any]:
    """Reward the verdict that the label asks for, by GRPO."""
    penalty = {} if config.analysis else {NO_VERDICT: 1.0}
    settings = replace(config.grpo, rewards={**config.grpo.rewards, **penalty})
    problems = as_problems(data.held_out)
    held_out: HeldOut = {
        name: [problem for problem, (example, _) in zip(problems, data.held_out, strict=True) if example.label == label]
        for name, label in (("positive", True), ("negative", False))
    }
    writing = replace(
        base,
        step_format=VerdictFormat(Prompts(base, config.analysis).template),
        entries={**base.entries, "treestar_format": base.step_format.name},
    )
    return train_grpo_on(
        writing,
        as_problems(data.training),
        out,
        settings.for_replies(),
        NothingRuns(),
        SameVerdict(),
        held_out={name: found for name, found in held_out.items() if found},
        evaluate_every=config.evaluate_every,
        on_progress=listener.on_reinforcement,
    )


def fine_tune(
    base: Base,
    data: SFTData,
    out: Path,
    config: JudgeTrainingConfig,
    listener: Listener,
    finish: Callable[[Path], None] = lambda _: None,
) -> dict[str, Any]:
    return train_on(
        data, base, out, config.sft, lambda data: listener.say(str(data)), listener.on_fine_tuning, finish=finish
    )


def fitting(base: Base, rows: Sequence[TokenRow], config: JudgeTrainingConfig) -> SFTData:
    """The rows that are not too long. Raises TreestarError if there are none."""
    limit = longest_row(base, config.sft)
    kept = [row for row in rows if len(row.ids) <= limit]
    if not kept:
        raise TreestarError(f"no training data: all {len(rows):,} rows exceed {limit:,} tokens")
    return SFTData(kept, len(kept), len(rows) - len(kept))


def reply_rows(prompts: Prompts, replies: Sequence[tuple[str, str]]) -> list[TokenRow]:
    return [reply_row(prompts.base.tokenizer, prompts.text(message), reply) for message, reply in replies]
