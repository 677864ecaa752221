"""A self-evolution job with only scripted parts, so that two runs can be compared row by row.

Run as a program, it runs the job in a folder, slowly enough to be killed: `python -m support.evolving OUT SECONDS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy, ScriptedScorer, random_script

from treestar.components import ComponentsConfig
from treestar.config.job_files import job_from_yaml
from treestar.policy import RStarFormat
from treestar.search import Tree
from treestar.selfevolve.backends import Backends
from treestar.selfevolve.job import Job
from treestar.selfevolve.rounds import evolve
from treestar.storage.files import read_json, write_json
from treestar.storage.table import Row
from treestar.training.sft.data import SFTRow
from treestar.types import Proposal, Sampling, State

JOB = """
problems:
  data: [{{name: "jsonl:{problems}", label: numbers}}]
rounds:
  - {{mode: terminal, search: {{max_rollouts: 3, children: 3, max_depth: 4}}}}
  - mode: ppm
    search: {{max_rollouts: 3, children: 3, max_depth: 4}}
    escalation: [{{max_rollouts: 4}}, {{max_rollouts: 6}}]
evaluation:
  sets: ["jsonl:{measured}"]
  problems: 6
  search: {{max_rollouts: 2, children: 2}}
"""

TIMES = {"seconds", "wall_seconds", "generation_seconds", "execution_seconds"}
TABLES = ("trees", "sft", "pairs", "evaluation")


def small_job(folder: Path, problems: int = 20) -> Job:
    """Problems whose answer a scripted policy sometimes guesses."""
    for name, count in (("problems", problems), ("measured", 6)):
        lines = [json.dumps({"id": f"{i}", "question": f"{name} {i}?", "answer": str(i % 3)}) for i in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return job_from_yaml(
        Job, JOB.format(problems=folder / "problems.jsonl", measured=folder / "measured.jsonl"), "the job"
    )


class FormattedPolicy(ScriptedPolicy):
    """Takes `seconds` for each request."""

    format = RStarFormat()
    seconds = 0.0

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        await asyncio.sleep(self.seconds)
        return await super().propose(state, n, sampling, seed)


def scripted_backends(seconds: float = 0.0) -> Backends:
    """`seconds`: duration of every request for steps and of every training step."""

    def components(policy: str, ppm: str | None, dtype: Any) -> ComponentsConfig:
        scripted = FormattedPolicy(random_script(answer_share=0.4, distinct=50), policy)
        scripted.seconds = seconds
        scorer = ScriptedScorer(lambda state: (len(repr(state.steps)) % 17) / 8 - 1)
        return ComponentsConfig(
            policy=scripted,
            scorer=None if ppm is None else scorer,
            executor=ScriptedExecutor(),
            verifier=ExactVerifier(),
        )

    def train(out: Path, content: Any, on_progress: Any) -> dict[str, Any]:
        """Like a real training: the model depends on its data, and is in its folder once everything is finished."""
        out.mkdir(parents=True, exist_ok=True)
        time.sleep(10 * seconds)
        report = {"steps": 1, "data": blake2b(repr(content).encode(), digest_size=8).hexdigest()}
        write_json(out / "training.json", report)
        time.sleep(10 * seconds)
        write_json(out / "config.json", {})
        return report

    def train_policy(rows: Iterable[SFTRow], base: str, out: Path, config: Any, *, on_progress: Any, **_: Any):
        return train(out, [(row.problem_id, row.trajectory.steps, row.copies) for row in rows], on_progress)

    def train_ppm(trees: Iterable[Tree], policy: str, out: Path, config: Any, *, on_progress: Any, **_: Any):
        return train(out, sorted(json.dumps(tree.to_json()) for tree in trees), on_progress)

    return Backends(
        components=components,
        step_format=lambda name, wanted: RStarFormat(),
        train_policy=train_policy,
        train_ppm=train_ppm,
    )


def rows_of(folder: Path) -> list[Row]:
    """The rows of a table as any Parquet reader finds them."""
    import pyarrow.parquet

    return [row for file in sorted(folder.glob("*.parquet")) for row in pyarrow.parquet.read_table(file).to_pylist()]


def content_of(out: Path) -> dict[str, Any]:
    """Everything that a job has written, except times: the rows of every table in a canonical order, models,
    reports."""
    content: dict[str, Any] = {}
    for table in TABLES:
        for folder in sorted(out.glob(f"round-*/{table}")):
            rows = [{name: value for name, value in row.items() if name not in TIMES} for row in rows_of(folder)]
            content[str(folder.relative_to(out))] = sorted(json.dumps(row, sort_keys=True) for row in rows)
    for file in sorted([*out.glob("round-*/*/training.json"), *out.glob("round-*/report.json")]):
        content[str(file.relative_to(out))] = without_times(read_json(file))
    return content


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name not in TIMES}
    return value


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    job = job_from_yaml(Job, (folder / "small.yaml").read_text(), "the job")
    print("ready", os.getpid(), flush=True)
    evolve(job, folder / "out", resume=True, concurrency=4, backends=scripted_backends(float(sys.argv[2])))
