"""The annotated data of a judge: what is kept, what is stored, and a run that was killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.judging import annotated, walk, walked, walking, walks

from treestar.judge.annotate import CHUNKS, annotate, chosen_solutions, read_chunks
from treestar.judge.config import AnnotationConfig
from treestar.judge.labels import LabelConfig, is_positive
from treestar.judge.responses import RESPONSES, Response, Responses, responses_of
from treestar.storage.states import state_from_json, state_to_json
from treestar.storage.table import Table
from treestar.types import Problem, Proposal, State, TreestarError

CONFIG = AnnotationConfig(responses=8, completions=8, trajectories=3)


def rows_in(folder: Path) -> list[dict]:
    return list(read_chunks(folder))


def test_chunks_are_stored_with_their_value_their_count_and_their_label(tmp_path: Path) -> None:
    found = asyncio.run(annotated(tmp_path, walks(6), CONFIG))
    rows = rows_in(tmp_path)
    assert found.chunks == len(rows) > 20
    assert found.positive == sum(row["label"] for row in rows)
    assert found.fates["kept"] + found.fates["all_wrong"] + found.fates["all_right"] == 6
    for row in rows:
        state = state_from_json(row["state"])
        assert len(state.steps) == row["chunk"] + 1
        assert state.problem.question == row["question"]
        assert row["text"] == state.steps[-1].text
        assert row["label"] == is_positive(row["q"], row["q_before"], CONFIG)
        assert row["q_low"] <= row["q"] <= row["q_high"]
        assert row["last"] == (row["completions"] == 0)
        if not row["last"]:
            assert (row["completions"], row["q"]) == (8, row["right"] / 8)
    assert f"{len(rows):,} chunks of {found.solutions:,} solutions" in str(found)
    assert found.to_json()["positive_share"] == found.positive / found.chunks


def test_lost_chunks_are_noticed_and_made_again(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(6), CONFIG))
    rows = rows_in(tmp_path)
    [shard] = (tmp_path / "chunks").glob("*.parquet")
    for lose in (shard.unlink, lambda: shard.write_bytes(shard.read_bytes()[:-9])):
        lose()
        for _ in range(2):
            with pytest.raises(
                TreestarError, match="chunks has lost rows, because one of its files is missing or damaged"
            ):
                rows_in(tmp_path)
        asyncio.run(annotated(tmp_path, walks(6), CONFIG))
        assert rows_in(tmp_path) == rows


def test_it_is_ordinary_parquet(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(3), CONFIG))
    from pyarrow.parquet import read_table

    table = read_table(tmp_path / "chunks")
    assert set(table.column_names) == set(CHUNKS.columns)
    assert sorted(table.column("q").to_pylist()) == sorted(row["q"] for row in rows_in(tmp_path))


def test_problems_that_are_always_or_never_solved_are_dropped(tmp_path: Path) -> None:
    problems = [
        *walks(3),
        Problem("Easy?", "yes", "always"),
        Problem("Hard?", "yes", "never"),
        Problem("Unknown?", id="?"),
    ]
    found = asyncio.run(annotated(tmp_path, problems, AnnotationConfig(responses=16, completions=4)))
    assert found.fates == {"kept": 3, "all_right": 1, "all_wrong": 1, "no_gold": 1, "no_room": 0}
    assert {row["problem_id"] for row in rows_in(tmp_path)} == {"walk-0", "walk-1", "walk-2"}
    assert "3 of 6 problems kept (1 all right, 1 all wrong, 1 no gold)" in str(found)


def test_the_value_before_the_first_chunk_is_the_pass_rate(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(4), CONFIG))
    with Table(tmp_path / "responses", RESPONSES) as table:
        rates = {row["problem_id"]: row["right"] / row["responses"] for row in table.rows()}
    first = [row for row in rows_in(tmp_path) if row["chunk"] == 0]
    assert first
    assert all(row["q_before"] == rates[row["problem_id"]] for row in first)


def test_labels_can_be_made_anew_by_another_rule(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(6), CONFIG))
    absolute = LabelConfig(rule="abs_q")
    rows = list(read_chunks(tmp_path, absolute))
    assert [row["label"] for row in rows] == [row["q"] > 0 for row in rows]
    assert [row["label"] for row in rows] != [row["label"] for row in rows_in(tmp_path)]
    again = AnnotationConfig(responses=8, completions=8, trajectories=3, rule="abs_q")
    parts = walking()
    assert asyncio.run(annotated(tmp_path, walks(6), again, parts)).positive == sum(row["label"] for row in rows)
    assert parts.policy.calls == 0, "nothing is sampled again"
    assert rows_in(tmp_path) == rows, "the table itself has the new labels"
    (tmp_path / "chunks").rename(tmp_path / "chunks-relabeled")  # as a kill between the two renamings leaves it
    asyncio.run(annotated(tmp_path, walks(6), again))
    assert rows_in(tmp_path) == rows
    assert {each.name for each in tmp_path.iterdir()} == {"chunks", "responses", "settings.json"}


def test_wrong_and_right_solutions_take_turns_and_those_cut_off_by_a_limit_are_left_out() -> None:
    def response(letters: str, right: bool, ended: str = "answer") -> Response:
        return Response(walked(letters, "yes" if right else "no"), ended, None, right)

    solutions = [response("aaa", True), response("aab", True), response("aba", True), response("abb", False)]
    cut = response("bbb", False, "truncated")
    found = Responses(walks(1)[0], "kept", 8, 3, (cut, *solutions))
    assert chosen_solutions(found, 3) == [each.state for each in (solutions[3], solutions[0], solutions[1])]
    assert len(chosen_solutions(found, 10)) == 4


def test_a_solution_is_written_and_read_back(tmp_path: Path) -> None:
    state = walked("ab", "yes")
    assert state_from_json(state_to_json(state)) == state
    asyncio.run(annotated(tmp_path, walks(2), CONFIG))
    with Table(tmp_path / "responses", RESPONSES) as table:
        for row in table.rows():
            found = responses_of(row)
            assert found.problem.answer == "yes"
            assert 0 < len(found.solutions) <= found.sampled == 8


class Failing:
    """Fails for good at a call, so that the run ends there; later calls are the walk's."""

    def __init__(self, at: int) -> None:
        self.left = at

    async def propose(self, state: State, n: int, sampling: object, seed: int) -> Proposal:
        self.left -= 1
        if self.left == 0:
            raise TreestarError("the server is gone")
        await asyncio.sleep(0)
        steps = tuple(walk(state, n, seed))
        return Proposal(steps, 0, sum(step.tokens for step in steps))


@pytest.mark.parametrize("at", [2, 30, 60, 90, 140])
def test_a_run_that_failed_anywhere_goes_on_with_the_same_data(at: int, tmp_path: Path) -> None:
    whole = asyncio.run(annotated(tmp_path / "whole", walks(8), CONFIG))
    parts = walking()
    object.__setattr__(parts, "policy", type(parts)(Failing(at), parts.executor, parts.verifier).policy)
    with pytest.raises(TreestarError, match="gone"):
        asyncio.run(annotated(tmp_path / "cut", walks(8), CONFIG, parts))
    resumed = asyncio.run(annotated(tmp_path / "cut", walks(8), CONFIG))
    assert rows_in(tmp_path / "cut") == rows_in(tmp_path / "whole")
    assert resumed == whole


def test_rows_that_a_kill_left_half_written_are_completed(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path / "whole", walks(3), CONFIG))
    rows = rows_in(tmp_path / "whole")
    asyncio.run(annotated(tmp_path / "cut", walks(3), CONFIG))
    with Table(tmp_path / "cut" / "chunks", CHUNKS) as table:
        table.replace(rows[:3])
    asyncio.run(annotated(tmp_path / "cut", walks(3), CONFIG))
    assert rows_in(tmp_path / "cut") == rows


SCRIPT = """
import asyncio, sys
from pathlib import Path
from support.judging import annotated, walking, walk, walks
from support.scripted import SlowPolicy
from treestar.judge.config import AnnotationConfig
parts = walking()
object.__setattr__(parts, "policy", SlowPolicy(walk))
config = AnnotationConfig(responses=8, completions=8, trajectories=3)
asyncio.run(annotated(Path(sys.argv[1]), walks(12), config, parts))
"""


def test_a_killed_process_goes_on_with_the_same_data(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path / "whole", walks(12), CONFIG))
    out, rng, kills = tmp_path / "killed", random.Random(1), 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], env=dict(os.environ))
        journals = [out / name / "_journal.jsonl" for name in ("responses", "chunks")]
        before = sum(journal.stat().st_size for journal in journals if journal.exists())
        while process.poll() is None and kills < 3:
            time.sleep(rng.random() / 50)
            if sum(journal.stat().st_size for journal in journals if journal.exists()) > before:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
        if process.wait() == 0:
            break
    assert kills > 0
    assert rows_in(out) == rows_in(tmp_path / "whole")


@pytest.mark.parametrize(
    ("problems", "config", "sentence"),
    [
        ([], CONFIG, "there are no problems"),
        ([*walks(1), *walks(1)], CONFIG, "two problems have the id 'walk-0'"),
        ([Problem("Easy?", "yes", "always")], CONFIG, "no problem is sometimes solved and sometimes not .1 all right"),
        ([Problem("?", id="open")], CONFIG, "1 no gold"),
    ],
)
def test_data_that_cannot_be_annotated_is_one_sentence(
    problems: list[Problem], config: AnnotationConfig, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(TreestarError, match=sentence):
        asyncio.run(annotated(tmp_path, problems, config))


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(3), CONFIG))
    other = AnnotationConfig(responses=8, completions=4, trajectories=3)
    with pytest.raises(TreestarError, match=r"other settings \(completions\)"):
        asyncio.run(annotated(tmp_path, walks(3), other))
    with pytest.raises(TreestarError, match=r"other settings \(policy\)"):
        asyncio.run(annotate(walks(3), lambda _: walking(), tmp_path, CONFIG, {"policy": "other"}))
    with pytest.raises(TreestarError, match="no labeled chunks"):
        rows_in(tmp_path / "nowhere")
    (tmp_path / "settings.json").write_text("[")
    with pytest.raises(TreestarError, match=r"settings\.json is damaged"):
        asyncio.run(annotated(tmp_path, walks(3), CONFIG))


def test_damaged_chunks_are_made_again(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(3), CONFIG))
    rows = rows_in(tmp_path)
    [shard] = (tmp_path / "chunks").glob("*.parquet")
    shard.write_bytes(b"nothing")
    assert json.loads((tmp_path / "chunks" / "_manifest.json").read_text())["shards"]
    asyncio.run(annotated(tmp_path, walks(3), CONFIG))
    assert rows_in(tmp_path) == rows


def test_another_question_with_the_same_id_is_refused(tmp_path: Path) -> None:
    first, second, *_ = walks(3)
    asyncio.run(annotated(tmp_path, [first], CONFIG))
    with pytest.raises(TreestarError, match=f"another question with the id '{first.id}'"):
        asyncio.run(annotated(tmp_path, [replace(second, id=first.id)], CONFIG))
