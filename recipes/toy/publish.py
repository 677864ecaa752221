"""Make the shipped models from a finished self-evolution job: its last policy and PPM, each with a model card.

python -m recipes.toy.publish JOB_FOLDER --policy DIR --ppm DIR
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from treestar.selfevolve.job import begun_job
from treestar.selfevolve.report import render_report
from treestar.selfevolve.round_reports import RoundReport
from treestar.selfevolve.trainings import policy_of, round_folder
from treestar.storage.files import read_json

__all__ = ["main"]

FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

POLICY_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [math, reasoning, treestar]
---

# The treestar toy policy

The bootstrap policy after {rounds} rounds of self-evolution: it has learned from solutions that tree search found, with
its own proposals and, where it had none that are right, those of a grammar of arithmetic; all were executed and
verified. No teacher wrote any of them, and no test problem is among them. It speaks treestar's `bound` step format, as
the bootstrap policy does; architecture, vocabulary and format are described in that one's card (`toy-bootstrap`).

## Use

treestar uses it by default (`--policy toy`). It is an ordinary Hugging Face folder:
`AutoModelForCausalLM.from_pretrained(folder)` loads it.

## How it was made

`treestar evolve --preset toy` (docs/toy.md has the job): {trajectories:,} trajectories, selected from
{problems:,} searches of training problems of [reasoning-gym](https://github.com/open-thought/reasoning-gym)
(Apache-2.0). Each round fine-tuned the policy of the round before on all trajectories so far (TRL's SFTTrainer, Muon,
{sft_minutes:.0f} minutes in all).
The job's report is below: what each round searched, solved and selected, what it cost, and how its models did on test
problems that nothing was trained on.

## Limits

It knows a few families of short problems and nothing else. Words and forms outside them are new to it: there it writes
fluent steps that do not answer the question. What the tables below do not show may have been forgotten in part.
"""

PPM_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-classification
tags: [math, reasoning, treestar]
---

# The treestar toy PPM

A process preference model for the toy policy: its backbone with a scalar head, whose output through tanh says in
[-1, 1] how good a step is among the steps that could stand in its place. Trained on preference pairs of sibling steps
from search trees (rStar-Math, section 3.3).

## Use

`treestar solve "..." --ppm toy`, or `treestar.ppm.load_scorer("toy")`. It is an ordinary one-label sequence
classification checkpoint; the score of a step is read at its end tag. A score compares siblings, so a whole trajectory
is judged by all of its steps (docs/concepts/ppm.md).

## How it was made

By the rounds of `treestar evolve --preset toy` (docs/toy.md has the job), each of which continued from the
PPM of the round before:

| round | preference pairs | steps of training | pair accuracy on held-out problems of the round |
| --- | --- | --- | --- |
{ppm_rounds}

The job's report is below.

## Limits

It has seen the toy policy's steps on a few families of short problems and nothing else.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path, help="folder of the finished job")
    parser.add_argument("--policy", type=Path, required=True, help="folder for the published policy")
    parser.add_argument("--ppm", type=Path, required=True, help="folder for the published PPM")
    options = parser.parse_args(arguments)
    out = options.job.resolve()
    job = begun_job(out)
    last = len(job.rounds)
    if not (round_folder(out, last) / "report.json").exists():
        parser.error(f"the job in {out} has not finished its {last} rounds: continue it with treestar evolve --resume")
    reports = [read_json(round_folder(out, number) / "report.json") for number in range(last + 1)]
    publish(Path(policy_of(job, out, last)), options.policy, policy_card(reports))
    publish(round_folder(out, last) / "ppm", options.ppm, ppm_card(reports))


def publish(model: Path, folder: Path, card: str) -> None:
    """Copy a trained model into `folder`, with its card."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (model / name).exists():
            shutil.copyfile(model / name, folder / name)
    (folder / "README.md").write_text(card, encoding="utf-8")


def policy_card(reports: Sequence[RoundReport]) -> str:
    rounds = reports[1:]
    card = POLICY_CARD.format(
        rounds=len(rounds),
        trajectories=rounds[-1]["selection"]["rows"],
        problems=sum(each["search"]["problems"] for each in rounds),
        sft_minutes=sum(each["phases"]["sft"]["seconds"] for each in rounds) / 60,
    )
    return card + "\n" + report_below(reports)


def ppm_card(reports: Sequence[RoundReport]) -> str:
    rows = [
        f"| {each['round']} | {each['selection']['pairs']:,} | {found['steps']:,} | {found['pair_accuracy']:.2f} |"
        for each in reports[1:]
        if "steps" in (found := each["ppm_training"])
    ]
    return PPM_CARD.format(ppm_rounds="\n".join(rows)) + "\n" + report_below(reports)


def report_below(reports: Sequence[RoundReport]) -> str:
    """The job's report, with its headings one level lower."""
    return (
        "\n".join(f"#{line}" if line.startswith("#") else line for line in render_report(reports).splitlines()) + "\n"
    )


if __name__ == "__main__":
    main()
