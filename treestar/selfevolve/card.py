"""What is written down about a trained bootstrap policy: its model card and the record of its figures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from treestar.benchmarks.gym import GSM_HELDOUT, GSM_TAUGHT, GSM_UNTAUGHT, LEVELS
from treestar.selfevolve.corpus import Share
from treestar.selfevolve.evaluation import CellResult
from treestar.selfevolve.training import ModelShape, TrainingConfig, TrainingLog

__all__ = ["model_card", "result_facts", "write_record"]

_PACKAGES = ("treestar", "torch", "transformers", "tokenizers", "reasoning-gym")


CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [math, reasoning, treestar]
---

# The treestar bootstrap policy

A Llama of {millions} million parameters, trained from nothing on a CPU in {minutes} minutes. It writes solutions as
short steps of Python, in treestar's `bound` step format: every number of the question is replaced by a name (`n3`,
`n4`, ...), and the steps compute with the names. It is the policy that test-time search and self-evolution start from.
It knows the problem families below and nothing else.

## Use

treestar uses it by default. It is an ordinary Hugging Face folder: `AutoModelForCausalLM.from_pretrained(folder)` loads
it, and `treestar_format: bound` in its config tells treestar which step format it speaks. The names are n0 to n39; at
inference the first number of a question is n3.

## Architecture

Llama, {shape}, tied embeddings, RoPE, {positions} positions, bf16. Byte-level BPE of
{vocabulary} tokens; digits, the step format's tags and the names are single tokens.

## Data

Problems of [reasoning-gym](https://github.com/open-thought/reasoning-gym) (Apache-2.0), solved by small scripted
teachers (`treestar/selfevolve/teachers.py`, `gsm_teachers.py`). Every solution was run, and kept only where its answer
is right. A hash of a question's text decides its split, so training and test questions never coincide.

Taught, {taught_share} of the examples drawn (with their weights): {taught}.

A thin tail of longer problems, {tail_share}: {tail}.

gsm_symbolic's "levels" are groups of its 85 templates: {templates}. The levels of the others are what
reasoning-gym is asked for:

| family | easy | mid | hard |
| --- | --- | --- | --- |
{levels}

## Recipe

`{command}` with seed {config.seed}: {steps} steps of about {config.batch_tokens} tokens, {tokens} M tokens
in all, {speed} tokens/s on {config.threads} cores ({processor}, other jobs beside it). Last training loss {loss},
on solutions only. Muon (rate {config.matrix_rate:g}) for the matrices, AdamW ({config.other_rate:g}) for the rest, bf16
weights with fp32 masters; constant rate, then a half cosine to 0 over the last {cooldown}. Each example's names are
moved by a random offset, and so are its positions (0 to {config.longest_offset}). The run ends on time, not on steps,
so repeating it gives a model like this one, not an equal one.

## Accuracy

On held-out questions of the test split, whole solutions, no search. *greedy*: the most probable solution; *sample*: one
sample at temperature 1; *majority* and *pass* over {samples} samples. A cell of 40 problems is uncertain by up to 0.15.

| family | level | problems | greedy | sample | majority of {samples} | pass@{samples} |
| --- | --- | --- | --- | --- | --- | --- |
{results}

## Limits

Words and forms outside the families above are new to it: there it writes fluent steps that do not answer the question.
It reads English only, knows no chat, and has names for 40 numbers.
"""


def write_record(path: Path, facts: Mapping[str, Any]) -> None:
    """Write `facts` as JSON, with the machine and the versions that produced them."""
    record = {
        "name": "bootstrap",
        **{key: facts[key] for key in ("date", "command", "seed")},
        "machine": {"platform": platform.platform(), "processor": _processor(), "cpus": os.cpu_count()},
        "versions": {"python": platform.python_version(), **_versions()},
        "figures": {key: value for key, value in facts.items() if key not in ("date", "command", "seed")},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def model_card(
    parameters: int,
    vocabulary: int,
    shape: ModelShape,
    config: TrainingConfig,
    log: TrainingLog,
    shares: Sequence[Share],
    results: Sequence[CellResult],
    command: str,
) -> str:
    """The model folder's README.md: data, recipe, time, and accuracy by family and level."""
    taught = [share for share in shares if share.weight >= 1.0]
    tail = [share for share in shares if share.weight < 1.0]
    total = sum(share.weight for share in shares)
    return CARD.format(
        millions=f"{parameters / 1e6:.1f}",
        minutes=f"{log.seconds / 60:.0f}",
        shape=f"{shape.layers} layers, width {shape.width}, {shape.heads} heads, feed-forward {shape.feed_forward}",
        positions=shape.positions,
        vocabulary=vocabulary,
        taught=_listed(taught),
        taught_share=f"{sum(share.weight for share in taught) / total:.0%}",
        tail=_listed(tail),
        tail_share=f"{sum(share.weight for share in tail) / total:.1%}",
        templates=f"{len(GSM_TAUGHT)} taught, {len(GSM_UNTAUGHT)} untaught, {len(GSM_HELDOUT)} held out",
        levels=_level_rows(),
        command=command,
        config=config,
        steps=log.steps,
        tokens=f"{log.tokens / 1e6:.1f}",
        speed=f"{log.tokens / log.seconds:.0f}",
        processor=_processor(),
        loss=f"{log.losses[-1][2]:.3f}" if log.losses else "unknown",
        cooldown=f"{config.cooldown:.0%}",
        samples=results[0].samples if results else 0,
        results=_result_rows(results),
    )


def result_facts(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """The cells as JSON values."""
    return [{key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(r).items()} for r in results]


def _listed(shares: Sequence[Share]) -> str:
    return ", ".join(f"{share.family} {share.level} {share.weight:g}" for share in shares)


def _level_rows() -> str:
    """What the levels ask reasoning-gym for."""
    rows = []
    for family, levels in LEVELS.items():
        if family == "gsm_symbolic":
            continue
        texts = [", ".join(f"{key} {value}" for key, value in config.items()) for config in levels.values()]
        rows.append(f"| {family} | " + " | ".join(text.replace("_", " ") for text in texts) + " |")
    return "\n".join(rows)


def _result_rows(results: Sequence[CellResult]) -> str:
    return "\n".join(
        f"| {r.family} | {r.level} | {r.problems} | {r.greedy:.2f} | {r.mean:.2f} | {r.majority:.2f} "
        f"| {r.pass_at_n:.2f} |"
        for r in results
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
