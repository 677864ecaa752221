"""The documentation of a trained bootstrap policy: its model card and the record of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recipes.toy.corpus import Share
from recipes.toy.evaluation import CellResult
from recipes.toy.training import ModelShape, TrainingConfig, TrainingLog
from treestar.benchmarks.gym_levels import GSM_GROUPS, LEVELS, cells

__all__ = ["Run", "figures", "model_card"]


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training."""

    config: TrainingConfig
    log: TrainingLog
    shares: Sequence[Share]


CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [math, reasoning, treestar]
---

# The treestar bootstrap policy

A Llama of {millions} million parameters, trained from nothing in {minutes} minutes ({device}). It writes solutions as
short steps of Python, in treestar's `bound` step format: every number of the question is replaced by a name (`n3`,
`n4`, ...), and the steps compute with the names. It is the policy that test-time search and self-evolution start from.
It knows the problem families below and nothing else.

## Use

treestar calls it `toy-bootstrap` (`--policy toy-bootstrap`). It is an ordinary Hugging Face folder:
`AutoModelForCausalLM.from_pretrained(folder)` loads it, and `treestar_format: bound` in its config tells treestar which
step format it speaks. The names are n0 to n39; at inference the first number of a question is n3.

## Architecture

Llama, {shape}, tied embeddings, RoPE, {positions} positions, bf16. Byte-level BPE of
{vocabulary} tokens; digits, the step format's tags and the names are single tokens.

## Data

Problems of [reasoning-gym](https://github.com/open-thought/reasoning-gym) (Apache-2.0), solved by small scripted
teachers (`recipes/toy/teachers.py`, `gsm_teachers.py`). Every solution was run, and kept only where its answer
is right. A hash of a question's text decides its split, so training and test questions never coincide.

Percent of the examples drawn; all but the easy and taught ones are a thin tail of longer problems:

| family | level | percent | different problems |
| --- | --- | --- | --- |
{shares}

gsm_symbolic's "levels" are groups of its 85 templates: {templates}.
The levels of the others are what reasoning-gym is asked for:

| family | easy | mid | hard |
| --- | --- | --- | --- |
{levels}

## Recipe

`{command}` with seed {config.seed}: {steps} batches of about {config.batch_tokens} tokens with padding,
{tokens} M tokens in all, {speed} tokens/s ({device}); last loss {loss}. Loss on solutions only. Muon for the
matrices (rate {config.matrix_rate:g}), AdamW for the rest ({config.other_rate:g}), bf16 weights with fp32 masters;
constant rates, then a half cosine to 0 over the last {config.cooldown:.0%}.
Each example's names are moved by a random offset, and so are its positions (0 to {config.longest_offset}). Positions
also leap, by up to {config.longest_gap}, between steps and between what a question enumerates: so the policy copies
by name and not by distance.

## Accuracy

On held-out questions of the test split, whole solutions, no search. *greedy*: the most probable solution; *sample*: one
sample at temperature 1; *majority* and *pass* over {samples} samples.

Problems that differ in their numbers alone are one text to the policy, for the numbers have names: they share their
solutions, so a cell says only as much as its number of different *texts* allows (40 mean an uncertainty of up to 0.15).
*unseen*: how many of the problems are such a text that was never taught. No test question was taught, but where none is
unseen, the policy was taught the same text with other numbers, and the figure tells that it remembers.

| family | level | problems | texts | unseen | greedy | sample | majority of {samples} | pass@{samples} |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{results}

## Limits

Words and forms outside the families above are new to it: there it writes fluent steps that do not answer the question.
It reads English only, knows no chat, and has names for the first 37 numbers of a question.
"""


def figures(
    parameters: int,
    run: Run,
    results: Sequence[CellResult],
    unseen: Mapping[tuple[str, str], int],
    evaluation: Mapping[str, Any],
) -> dict[str, Any]:
    """The training and the measured results as JSON values."""
    return {
        "parameters": parameters,
        "training": run_facts(run),
        "evaluation": dict(evaluation),
        "cells": [
            rounded(asdict(result)) | {"unseen_texts": unseen[result.family, result.level]} for result in results
        ],
    }


def model_card(
    parameters: int,
    vocabulary: int,
    shape: ModelShape,
    run: Run,
    results: Sequence[CellResult],
    unseen: Mapping[tuple[str, str], int],
    command: str,
) -> str:
    """The model folder's README.md: data, recipe, time, and accuracy by family and level."""
    log = run.log
    return CARD.format(
        millions=f"{parameters / 1e6:.1f}",
        minutes=f"{log.seconds / 60:.1f}",
        shape=f"{shape.layers} layers, width {shape.width}, {shape.heads} heads, feed-forward {shape.feed_forward}",
        positions=shape.positions,
        vocabulary=vocabulary,
        shares=share_rows(run.shares),
        templates="{taught} taught, {untaught} untaught, {heldout} held out".format_map(
            {group: len(templates) for group, templates in GSM_GROUPS.items()}
        ),
        levels=level_rows(),
        command=command,
        config=run.config,
        device=log.device,
        steps=log.steps,
        tokens=f"{log.tokens / 1e6:.1f}",
        speed=f"{log.tokens / log.seconds:.0f}",
        loss=f"{log.losses[-1][2]:.4f}",
        samples=results[0].samples if results else 0,
        results=result_rows(results, unseen),
    )


def run_facts(run: Run) -> dict[str, Any]:
    """The training as JSON values."""
    log = run.log
    return {
        "config": asdict(run.config),
        "shares": {f"{share.family}/{share.level}": share.weight for share in run.shares},
        "steps": log.steps,
        "tokens": log.tokens,
        "seconds": round(log.seconds, 1),
        "tokens_per_second": round(log.tokens / log.seconds, 1),
        "losses": [[step, round(seconds, 1), round(loss, 4)] for step, seconds, loss in log.losses],
    }


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def share_rows(shares: Sequence[Share]) -> str:
    """Each cell's percentage of the examples, and its number of problems."""
    total = sum(share.weight for share in shares)
    by_cell = {(share.family, share.level): share for share in shares}
    return "\n".join(
        f"| {each.family} | {each.level} | {100 * each.weight / total:.2f} | {each.examples:,} |"
        for each in (by_cell[cell] for cell in cells() if cell in by_cell)
    )


def level_rows() -> str:
    """The reasoning-gym settings of each level."""
    rows = []
    for family, levels in LEVELS.items():
        if family == "gsm_symbolic":
            continue
        texts = [", ".join(f"{key} {value}" for key, value in config.items()) for config in levels.values()]
        rows.append(f"| {family} | " + " | ".join(text.replace("_", " ") for text in texts) + " |")
    return "\n".join(rows)


def result_rows(results: Sequence[CellResult], unseen: Mapping[tuple[str, str], int]) -> str:
    rows = []
    for result in results:
        shares = (result.greedy, result.mean, result.majority, result.pass_at_n)
        counts = (result.problems, result.prompts, unseen[result.family, result.level])
        columns = [result.family, result.level, *map(str, counts), *(f"{share:.2f}" for share in shares)]
        rows.append("| " + " | ".join(columns) + " |")
    return "\n".join(rows)
