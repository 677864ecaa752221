"""Rejection sampling: the model's own replies whose verdict is the label, stored as Parquet, one row per prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from treestar.policy import load_policy
from treestar.storage.settings import begin_folder
from treestar.storage.table import Row, Schema, Table, appending_to
from treestar.training.judge.config import JudgeTrainingConfig
from treestar.training.judge.verdicts import VerdictFormat
from treestar.training.run import is_main_process, process_count
from treestar.types import Closable, ContextOverflow, Problem, Sampling, State, TreestarError
from treestar.workers import LocalWorkers, Worker

__all__ = ["REPLIES", "check_origin", "right_replies"]

REPLIES = Schema(
    "replies",
    {"chunk": "string", "message": "string", "sampled": "int64", "right": "int64", "replies": "string"},
    key=("message",),
)
"""`replies` is a JSON list of the different right ones; the others are only counted."""

ORIGIN = "_origin.json"
"""The file beside the table that says what sampled its replies."""


def right_replies(
    problems: Sequence[Problem],
    model: str,
    template: Callable[..., str],
    folder: Path,
    config: JudgeTrainingConfig,
    say: Callable[[str], None],
) -> list[tuple[str, str]]:
    """(message, reply) for at most `config.replies_kept` right replies to each message. What `folder` has is not
    sampled again.

    Args:
        problems: messages with the verdict of their label as the answer.
        model: the policy that replies.
        template: renders its messages.

    Raises:
        TreestarError: the model cannot be loaded, no reply is right, `folder` has replies of another model or other
            settings, or several processes train and the replies are not all there.
    """
    check_origin(folder, model, config)
    with Table(folder, REPLIES, say) as table:
        missing = [each for each in problems if (each.question,) not in table]
        if missing and process_count() > 1:
            raise TreestarError(
                f"{folder} does not have the replies to learn from: run the same command in one process first, stop it "
                "when the training begins, and start it with several and --resume"
            )
        if missing:
            asyncio.run(sample(missing, model, template, table, config))
            table.seal()
        rows = {row["message"]: row for row in table.rows()}
    chosen = [rows[each.question] for each in problems]
    sampled, right = (sum(row[name] for row in chosen) for name in ("sampled", "right"))
    say(f"{right:,} of {sampled:,} sampled replies are right")
    pairs = [(row["message"], reply) for row in chosen for reply in json.loads(row["replies"])[: config.replies_kept]]
    if not pairs:
        raise TreestarError(
            f"none of the {sampled:,} sampled replies ends in the right verdict, so there is nothing to learn: begin "
            "with analyses (--analyses), or with a base that follows the instruction"
        )
    return pairs


def check_origin(folder: Path, model: str, config: JudgeTrainingConfig) -> None:
    """Note what the replies in `folder` are sampled with, or check that it is what is noted. Raises TreestarError."""
    origin = {
        "model": model,
        "replies": config.replies,
        "temperature": config.grpo.temperature,
        "max_tokens": config.grpo.max_tokens,
        "seed": config.seed,
    }
    if is_main_process():
        begin_folder(folder / ORIGIN, origin)


async def sample(
    problems: Sequence[Problem], model: str, template: Callable[..., str], table: Table, config: JudgeTrainingConfig
) -> None:
    policy = load_policy(model)
    sampling = Sampling(config.grpo.temperature, 1.0, config.grpo.max_tokens)
    writer = policy.writing(VerdictFormat(template))

    async def work(problem: Problem) -> Row:
        try:
            steps = (await writer.propose(State(problem), config.replies, sampling, config.seed)).steps
        except ContextOverflow:
            steps = ()
        right = [step.text for step in steps if step.answer is not None and step.answer == problem.answer]
        return {
            "chunk": problem.id,
            "message": problem.question,
            "sampled": len(steps),
            "right": len(right),
            "replies": json.dumps(list(dict.fromkeys(right))),
        }

    try:
        await LocalWorkers(Worker(work, {}), config.grpo.concurrency).run(problems, appending_to(table))
    finally:
        if isinstance(policy, Closable):
            await policy.close()
