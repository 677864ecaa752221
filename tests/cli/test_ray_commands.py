"""`treestar solve`, `bench` and `evolve` on a real cluster of two nodes write the same as on one machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.evolving import content_of, scripted_backends, small_job
from support.ray_cluster import other_node, two_nodes

from treestar.cli import main
from treestar.cli.evolve_progress import EvolutionProgress
from treestar.selfevolve.rounds import evolve
from treestar.storage.table import Row
from treestar.types import TreestarError
from treestar.workers import RayConfig

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

QUESTIONS = [("What is 3 plus 4?", "7"), ("What is 30 plus 41?", "71"), ("What is 12 times 3?", "36"), ("2 + 2?", "4")]


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as found:
        yield found


@pytest.fixture
def treestar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call the command in this process, which must succeed: stdout, stderr."""

    def call(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["treestar", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return out, err

    return call


def abandoned_sandboxes() -> list[str]:
    """Sandboxes whose engine is gone."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    engines = re.findall(r"sandbox\.jail\.zygote .*\"engine\": (\d+)", listed)
    return [each for each in engines if not Path("/proc", each).exists()]


def tree_in(file: Path) -> Any:
    """A tree without times and without last digits that depend on the batch."""
    tree = json.loads(file.read_text(), parse_float=lambda text: round(float(text), 4))
    for node in tree["nodes"]:
        node.pop("seconds", None)
    return tree


def test_solve_gives_the_results_and_trees_of_one_process_and_goes_on(
    cluster: Any, treestar: Any, tmp_path: Path
) -> None:
    problems, cut = tmp_path / "problems.jsonl", tmp_path / "cut.jsonl"
    lines = [json.dumps({"id": f"{i}", "question": q, "answer": a}) for i, (q, a) in enumerate(QUESTIONS)]
    problems.write_text("\n".join(lines) + "\n")
    search = ("--file", problems, "--max-rollouts", 2, "--children", 2, "--seed", 5)
    treestar("solve", *search, "--out", tmp_path / "alone.jsonl", "--save-tree", tmp_path / "alone")
    on_ray = ("--ray", "auto", "--actors", 2, "--actor-cpus", 2)
    treestar("solve", *search, "--out", tmp_path / "ray.jsonl", "--save-tree", tmp_path / "ray", *on_ray)
    deadline = time.monotonic() + 30
    while abandoned_sandboxes():
        assert time.monotonic() < deadline
        time.sleep(0.1)

    def content(file: Path) -> list[str]:
        results = [json.loads(line) for line in file.read_text().splitlines()]
        for each in results:
            del each["stats"]["seconds"], each["stats"]["executed_seconds"]
        return sorted(json.dumps(each) for each in results)

    assert content(tmp_path / "ray.jsonl") == content(tmp_path / "alone.jsonl")
    trees = [{file.name: tree_in(file) for file in (tmp_path / name).iterdir()} for name in ("alone", "ray")]
    assert trees[0] == trees[1]
    cut.write_text("".join((tmp_path / "alone.jsonl").read_text().splitlines(keepends=True)[:3]) + '{"id')
    out, _ = treestar("solve", *search, "--out", cut, "--json", *on_ray)
    assert content(cut) == content(tmp_path / "alone.jsonl")
    assert len(out.splitlines()) == len(QUESTIONS)


def test_a_benchmark_gives_the_figures_of_one_process(cluster: Any, treestar: Any, tmp_path: Path) -> None:
    wanted = (
        "rg:basic_arithmetic:mid",
        "--limit",
        3,
        "--samples",
        2,
        "--k",
        "1,2",
        "--max-rollouts",
        2,
        "--children",
        2,
    )
    table, _ = treestar("bench", *wanted, "--out", tmp_path / "alone")
    on_cluster, said = treestar(
        "bench",
        *wanted,
        "--out",
        tmp_path / "ray",
        "--ray",
        "auto",
        "--actors",
        2,
        "--actor-cpus",
        2,
        "--concurrency",
        3,
    )
    assert on_cluster == table
    assert "unfinished" in said
    one, other = [(tmp_path / name / "results.json").read_bytes() for name in ("alone", "ray")]
    assert one == other


def test_a_job_of_self_evolution_leaves_the_same_data_where_actors_and_a_node_are_lost(
    cluster: Any, tmp_path: Path
) -> None:
    job = small_job(tmp_path)
    evolve(job, tmp_path / "alone", backends=scripted_backends())
    backends = scripted_backends(seconds=0.02)
    rows = 0

    class Killing(EvolutionProgress):
        """Kills an actor in the first round's search, then the driver, and the other node in the second round's
        search."""

        def on_tree(self, row: Row) -> None:
            nonlocal rows
            rows += 1
            super().on_tree(row)
            if rows == 5:
                os.kill(an_actor(), signal.SIGKILL)
            if rows == 12:
                raise TreestarError("the driver ends here")
            if rows == 25:
                cluster.remove_node(other_node(cluster), allow_graceful=False)

    ray = RayConfig(actors=3, actor_cpus=2)
    console = Console(record=True, file=open(os.devnull, "w"), width=1000)  # noqa: SIM115
    with pytest.raises(TreestarError, match="the driver ends here"):
        evolve(job, tmp_path / "ray", ray=ray, concurrency=2, backends=backends, progress=Killing(console))
    evolve(job, tmp_path / "ray", resume=True, ray=ray, concurrency=2, backends=backends, progress=Killing(console))
    assert content_of(tmp_path / "ray") == content_of(tmp_path / "alone")
    assert "an actor was lost" in console.export_text()


def an_actor() -> int:
    """A process that searches."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return next(int(line.split()[0]) for line in listed.splitlines() if "ray::WorkerActor" in line)
