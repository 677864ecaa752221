"""From labeled chunks to what a judge is trained on: prompts with verdicts, and replies.

Invariant: a prompt is exactly what `treestar.judge.JudgeScorer` asks with the same model about the same chunk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from treestar.judge.annotate import read_chunks
from treestar.judge.labels import LabelConfig, balanced
from treestar.judge.prompt import VERDICTS, judge_prompt, verdict_of
from treestar.judge.reading import question_and_chunks
from treestar.policy.formats.templates import template_of
from treestar.ppm.public.texts import special_texts
from treestar.seeds import lot_of
from treestar.storage.lines import read_rows
from treestar.storage.states import state_from_json
from treestar.training.base_policy import Base
from treestar.training.judge.config import JudgeTrainingConfig
from treestar.types import Problem, State, TreestarError

__all__ = [
    "Analyses",
    "Example",
    "JudgeData",
    "Prompts",
    "as_problems",
    "is_held_out",
    "judge_data",
    "read_analyses",
    "read_examples",
    "replies_of",
]

Key = tuple[str, int, int]
"""(problem, solution, chunk), as in the table of chunks."""

Analyses = Mapping[Key, str]
"""Replies that a judge should learn to write first, by chunk."""


@dataclass(frozen=True, slots=True)
class Example:
    """A labeled chunk."""

    key: Key
    state: State
    """The solution up to and including the chunk."""
    label: bool


class Prompts:
    """Makes the prompts that a judge trained from `base` will read."""

    def __init__(self, base: Base, analysis: bool) -> None:
        self.base = base
        self.analysis = analysis
        self.template = template_of(base.tokenizer, base.step_format.name == "thinking")
        self.foreign = special_texts(base.tokenizer)

    def question_and_chunks(self, state: State) -> tuple[str, list[str]]:
        return question_and_chunks(state, self.base.step_format, self.foreign)

    def message(self, state: State) -> str | None:
        """The user's message about the last chunk of `state`; None if that is blank."""
        question, chunks = self.question_and_chunks(state)
        _, before = self.question_and_chunks(state.prefix(-1))
        return None if len(chunks) == len(before) else judge_prompt(question, chunks[:-1], chunks[-1], self.analysis)

    def text(self, message: str) -> str:
        """What the model reads: the message in the model's template."""
        return self.template([{"role": "user", "content": message}])

    def length(self, message: str) -> int:
        """The tokens of that."""
        return len(self.base.tokenizer(self.text(message), add_special_tokens=False, verbose=False)["input_ids"])


class JudgeData(NamedTuple):
    """What a judge is trained and measured on."""

    training: list[tuple[Example, str]]
    """Chunks with their messages, balanced where that is asked for."""
    held_out: list[tuple[Example, str]]
    """Those of other problems, as many positive as negative ones. Reinforcement measures with them."""
    counts: dict[str, int]

    def __str__(self) -> str:
        found = self.counts
        return (
            f"{found['chunks']:,} labeled chunks, {found['positive']:,} positive; left out {found['left_out']:,} that "
            f"are blank, too short, too long or told twice; training on {len(self.training):,}, held out "
            f"{len(self.held_out):,}"
        )


def read_examples(folders: Sequence[Path], labels: LabelConfig | None) -> list[Example]:
    """The labeled chunks in folders that `treestar judge annotate` wrote; `labels` as for `read_chunks`."""
    return [
        Example((row["problem_id"], row["solution"], row["chunk"]), state_from_json(row["state"]), row["label"])
        for folder in folders
        for row in read_chunks(folder, labels)
    ]


def judge_data(examples: Iterable[Example], prompts: Prompts, config: JudgeTrainingConfig) -> JudgeData:
    """The training and held-out chunks.

    Raises:
        TreestarError: nothing is left to train on.
    """
    found: dict[str, tuple[Example, str]] = {}
    total = positive = 0
    for example in examples:
        total += 1
        positive += example.label
        message = prompts.message(example.state)
        if message is not None and config.min_prompt_tokens <= prompts.length(message) <= config.max_prompt_tokens:
            found.setdefault(message, (example, message))
    usable = list(found.values())
    held_out = [each for each in usable if is_held_out(each[0], config)]
    training = [each for each in usable if not is_held_out(each[0], config)]
    chosen = even(training, config.seed) if config.balance else training
    if not chosen:
        raise TreestarError(
            f"there is nothing to train a judge on: of {total:,} labeled chunks {positive:,} are positive, and "
            f"{total - len(usable):,} are blank, too short, too long or told twice; it takes chunks of both labels "
            "(or no balancing)"
        )
    counts = {"chunks": total, "positive": positive, "left_out": total - len(usable)}
    return JudgeData(chosen, even(held_out, config.seed)[: config.evaluated], counts)


def even(examples: Sequence[tuple[Example, str]], seed: int) -> list[tuple[Example, str]]:
    """As many of each label, alternating, so that the first ones are balanced too."""
    kept = balanced(examples, [each.label for each, _ in examples], seed)
    positive = [each for each in kept if each[0].label]
    negative = [each for each in kept if not each[0].label]
    return [each for pair in zip(positive, negative, strict=True) for each in pair]


def is_held_out(example: Example, config: JudgeTrainingConfig) -> bool:
    """Whether the chunk's problem is not trained on; depends only on its question and the seed. Ids are names within a
    file: the same question can have several."""
    return lot_of(f"{config.seed} held out {' '.join(example.state.problem.question.split())}") < config.held_out


def as_problems(examples: Sequence[tuple[Example, str]]) -> list[Problem]:
    """Messages as problems, whose answer is the verdict that their labels ask for."""
    return [Problem(message, VERDICTS[example.label], "/".join(map(str, example.key))) for example, message in examples]


def read_analyses(path: Path) -> Analyses:
    """The analyses in a JSON Lines file: in each line the `problem_id`, `solution` and `chunk` of a labeled chunk, and
    a `reply` about it, which ends in a verdict.

    Raises:
        TreestarError: the file cannot be read, a line is not of that kind, or a reply has no clear verdict.
    """
    found: dict[Key, str] = {}
    for row in read_rows(path):
        try:
            fields = json.loads(row.text)
            key = str(fields["problem_id"]), int(fields["solution"]), int(fields["chunk"])
            reply = fields["reply"]
            is_clear = verdict_of(reply) is not None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TreestarError(f"{path}, {row.where}, is not an analysis: {type(error).__name__}: {error}") from error
        if not is_clear:
            raise TreestarError(f"{path}, {row.where}: the reply has no clear verdict, such as {VERDICTS[True]}")
        found[key] = reply
    return found


def replies_of(examples: Iterable[Example], analyses: Analyses, prompts: Prompts) -> list[tuple[str, str]]:
    """(message, reply) for every chunk that has an analysis; only its verdict if the judge is not to analyze.

    Raises:
        TreestarError: no analysis is about one of these chunks.
    """
    found = []
    for example in examples:
        reply, message = analyses.get(example.key), prompts.message(example.state)
        if reply is None or message is None:
            continue
        verdict = verdict_of(reply)
        assert verdict is not None
        found.append((message, reply if prompts.analysis else VERDICTS[verdict]))
    if not found:
        raise TreestarError(
            f"none of the {len(analyses):,} analyses is about one of the labeled chunks: their problem_id, solution "
            "and chunk must be those of the table of chunks"
        )
    return found
