"""The data that teaches chunks: right solutions in chunks, by rules and by a model, stored and trained on."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from support.scripted import ScriptedPolicy
from support.segmenting import CONFIG, FIRST, rows_in, segmented, solving
from support.tiny_model import byte_tokenizer

from treestar.judge.segment import CHUNKED, by_model
from treestar.policy.formats import step_format_named
from treestar.selfevolve.selection import read_sft_rows
from treestar.storage.table import Table
from treestar.training.sft.data import NO_LOSS, prepare
from treestar.types import ContextOverflow, Policy, Proposal, Sampling, State, Step, TreestarError


def test_right_solutions_are_cut_and_counted_against_paragraphs(tmp_path: Path) -> None:
    found = segmented(tmp_path)
    rows = rows_in(tmp_path)
    assert found.verdicts["kept"] == sum(row["verdict"] == "kept" for row in rows) > 0
    assert found.verdicts["no_box"] > 0
    assert max(len(list(group)) for _, group in itertools.groupby(rows, lambda row: row["problem_id"])) == 2
    assert (found.chunks, found.paragraphs, found.tokens) == (2, 3, 25)
    assert "2.0 chunks a solution instead of 3.0 paragraphs, 25 tokens a solution, 12 a chunk instead of 8 a" in str(
        found
    )
    for row in rows:
        if row["verdict"] == "kept":
            assert row["text"].startswith(f"<chunk>{FIRST}Attempt")
            assert "</chunk>\n\n<chunk>Next, nothing" in row["text"]
            assert row["text"].endswith("</chunk>\n\nThe answer is \\boxed{7}.")
            assert row["copies"] == 1
        else:
            assert (row["text"], row["copies"]) == ("", 0)


def test_what_is_kept_is_training_data_of_the_chunk_format(tmp_path: Path) -> None:
    found = segmented(tmp_path)
    rows = read_sft_rows(tmp_path / "chunked")
    assert len(rows) == found.verdicts["kept"]
    form, tokenizer = step_format_named("chunk"), byte_tokenizer()
    data = prepare(rows, tokenizer, form, 4096)
    assert data.trajectories == len(rows)
    learned = [token for token, label in zip(data.rows[0].ids, data.rows[0].labels, strict=True) if label != NO_LOSS]
    text = tokenizer.decode(learned)
    assert text.startswith("<chunk>We add 3 and 4")
    assert text.endswith("The answer is \\boxed{7}.<|endoftext|>")
    with pytest.raises(
        TreestarError, match="written in the step format chunk, but the policy would learn to write cot"
    ):
        prepare(rows, tokenizer, step_format_named("cot"), 4096)


def test_a_table_that_has_lost_rows_is_not_trained_on(tmp_path: Path) -> None:
    segmented(tmp_path)
    [shard] = (tmp_path / "chunked").glob("*.parquet")
    shard.rename(shard.with_name("00001.parquet"))
    with pytest.raises(TreestarError, match=r"chunked has lost rows.*: run the command that wrote it again"):
        read_sft_rows(tmp_path / "chunked")


def test_nothing_is_sampled_or_cut_twice(tmp_path: Path) -> None:
    first = segmented(tmp_path, count=3)
    policy = ScriptedPolicy(solving)
    assert segmented(tmp_path, count=3, policy=policy) == first
    assert policy.calls == 0
    rows = rows_in(tmp_path)
    with Table(tmp_path / "chunked", CHUNKED) as table:
        table.replace(rows[:1])
    assert segmented(tmp_path, count=3) == first
    assert rows_in(tmp_path) == rows


class Marker(Policy):
    """Marks every paragraph, after so many bad replies."""

    def __init__(self, bad: int) -> None:
        self.bad = bad
        self.asked: dict[str, int] = {}

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        prompt = state.problem.question
        self.asked[prompt] = self.asked.get(prompt, 0) + 1
        text = prompt.partition("Solution:\n")[2]
        marked = "\n".join(f"<chunk>{part}</chunk>" for part in text.split("\n\n"))
        reply = marked if self.asked[prompt] > self.bad else marked.replace("7", "seven")
        return Proposal((Step(reply, ending="answer", tokens=9),), 1, 9)


def test_a_model_marks_and_is_asked_again_until_it_is_exact(tmp_path: Path) -> None:
    found = segmented(tmp_path, by_model(Marker(bad=2), CONFIG.tries, 1000))
    assert found.verdicts["kept"] > 0
    assert found.verdicts["inexact"] == 0
    assert found.chunks == found.paragraphs == 3
    tries = [row["tries"] for row in rows_in(tmp_path) if row["verdict"] == "kept"]
    assert max(tries) == 3, "equal solutions are asked about more than once, and then marked sooner"
    assert found.segmenter_tokens == 9 * sum(tries)


def test_a_model_that_is_never_exact_gives_nothing(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=r"no training data: none of .* right solutions kept \(.* inexact"):
        segmented(tmp_path, by_model(Marker(bad=9), CONFIG.tries, 1000))
    assert {row["tries"] for row in rows_in(tmp_path) if row["verdict"] == "inexact"} == {CONFIG.tries}


class Full(Policy):
    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        raise ContextOverflow("full")


def test_a_solution_that_does_not_fit_the_models_context_is_left_out() -> None:
    marked = asyncio.run(by_model(Full(), 3, 10)("One.", 0))
    assert (marked.chunks, marked.tries) == (None, 1)


def test_a_policy_of_code_steps_needs_no_segmentation(tmp_path: Path) -> None:
    def coding(state: State, n: int, seed: int) -> list[Step]:
        if not state.steps:
            return [Step("x = 7", "x = 7", tokens=1)] * n
        return [Step("so 7", ending="answer", answer="7", tokens=1)] * n

    with pytest.raises(TreestarError, match="steps of code, each of which is a chunk already"):
        segmented(tmp_path, policy=ScriptedPolicy(coding))


def test_unsolved_problems_give_nothing(tmp_path: Path) -> None:
    def wrong(state: State, n: int, seed: int) -> list[Step]:
        return [Step("So \\boxed{8}.", ending="answer", answer="8", tokens=1)] * n

    with pytest.raises(TreestarError, match="solved none of 6 problems"):
        segmented(tmp_path, policy=ScriptedPolicy(wrong))
