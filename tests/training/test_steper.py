"""Stepwise distillation: rows of first, mid and final steps, their training, and what is counted."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.questions import QUESTIONS, question_parts
from support.tiny_model import save_tiny_model, tiny_model
from support.train_steper_in_processes import PLAIN, eight_rows, taught, train

from treestar.policy.formats import RetrievalFormat, step_format_named
from treestar.training.distill.collect import Collected, collect, read_trajectories
from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.distill.data import prepare_steps, step_texts
from treestar.training.distill.teacher import ScriptedTeacher, gold_sentences
from treestar.training.distill.train import train_steper
from treestar.training.sft.data import NO_LOSS
from treestar.types import Policy, Problem, Proposal, Sampling, State, Step, TreestarError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = save_tiny_model(tmp_path_factory.mktemp("base"), max_position_embeddings=1024)
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"model_max_length": 1024}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(folder)


def retrieval_format() -> RetrievalFormat:
    step_format = step_format_named("retrieval")
    assert isinstance(step_format, RetrievalFormat)
    return step_format


# --- the teacher and its data -----------------------------------------------------------------------------------------


CHAIN = [[str(n), "next", str(n + 1)] for n in range(7)]
SAID = [f"The next of {n} is {n + 1}." for n in range(7)]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {
                "decomposition": [
                    {"question": "A >> mother", "answer": "B"},
                    {"question": "Where was #1 born?", "answer": "C"},
                ]
            },
            ["The mother of A is B.", "Where was B born? C."],
        ),
        ({"qa_pairs": [{"question": "?", "answer": "A is  B."}]}, ["A is B."]),
        ({"evidences": [["A", "director", "B"]]}, ["The director of A is B."]),
        (
            {"supporting_facts": [["T", 1], ["T", 9]], "paragraphs": [{"title": "T", "sentences": ["No.", " Yes."]}]},
            ["Yes."],
        ),
        (
            {
                "supporting_facts": {"title": ["T", "T"], "sent_id": [1, 9]},
                "paragraphs": [{"title": "T", "sentences": ["No.", " Yes."]}],
            },
            ["Yes."],
        ),
        ({"evidences": CHAIN}, [*SAID[:4], " ".join(SAID[4:])]),
        ({}, []),
    ],
)
def test_the_teacher_says_the_gold_reasoning_in_at_most_five_sentences(metadata: dict, said: list[str]) -> None:
    assert gold_sentences(Problem("?", "x", kind="qa", metadata=metadata)) == said


class Lost(Policy):
    """Never answers, or answers wrong."""

    step_format = "retrieval"

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.asked = 0

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        self.asked += 1
        return Proposal((Step("Hm.\n", ending="answer", answer=self.answer),) * n)


def test_every_question_is_stored_once_with_what_became_of_it(tmp_path: Path) -> None:
    unknown = Problem("Why?", "so", "unknown", "qa")
    without_gold = replace(QUESTIONS[0], id="no gold", answer=None, metadata={})
    asked: list[str] = []

    def parts(problem: Problem) -> object:
        asked.append(problem.id)
        return question_parts()

    def run(problems: list[Problem]) -> Collected:
        return asyncio.run(collect(problems, parts, tmp_path / "t"))

    assert run([QUESTIONS[0], without_gold]).verdicts == {"kept": 1, "wrong": 0, "unanswered": 0, "no_gold": 1}
    found = run([*QUESTIONS, unknown, without_gold])
    assert asked == ["two", "three", "unknown"], "nothing is asked again, and nothing without a gold answer"
    assert found == Collected(4, {"kept": 2, "wrong": 0, "unanswered": 1, "no_gold": 1}, {2: 1, 3: 1})
    assert str(found) == "2 of 4 trajectories kept (1 unanswered, 1 no gold)"
    assert [len(state.steps) for state in read_trajectories(tmp_path / "t")] == [3, 2]
    assert [len(state.steps) for state in read_trajectories(tmp_path / "t", [QUESTIONS[1]])] == [3]


def test_a_question_that_is_given_twice_is_one_row_wherever_the_run_was_killed(tmp_path: Path) -> None:
    odd = replace(QUESTIONS[0], id="odd", question="Who governs Telmar \ud800?")
    twice = [*QUESTIONS, odd, *QUESTIONS, odd]
    for folder, parts in (("once", [twice]), ("killed", [[QUESTIONS[1]], [odd], twice])):
        for problems in parts:
            asyncio.run(collect(problems, lambda _: question_parts(), tmp_path / folder))
    once, killed = (list(read_trajectories(tmp_path / name, twice)) for name in ("once", "killed"))
    assert len(once) == 3
    assert once == killed, "the order is not that in which the teacher was asked"


@pytest.mark.parametrize(
    ("policy", "problems", "message"),
    [
        (Lost(), list(QUESTIONS), "the teacher answered none of 2 questions"),
        (Lost("nobody"), list(QUESTIONS), "none of the teacher's answers is right: 0 of 2 .*2 wrong"),
        (ScriptedTeacher(), [Problem("?", id="1", kind="qa")], "none of the 1 questions has a gold answer"),
    ],
)
def test_data_that_cannot_be_trained_on_is_one_sentence(
    tmp_path: Path, policy: Policy, problems: list[Problem], message: str
) -> None:
    with pytest.raises(TreestarError, match=message):
        asyncio.run(collect(problems, lambda _: question_parts(policy), tmp_path / "t"))


def test_similar_answers_are_kept_from_an_f1_on(tmp_path: Path) -> None:
    policy = Lost("Mayor Ivo Brandt of Telmar")
    found = asyncio.run(collect(QUESTIONS[:1], lambda _: question_parts(policy), tmp_path / "t", min_f1=0.5))
    assert found.verdicts["kept"] == 1


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_read_what_the_policy_reads_at_that_step() -> None:
    two, three = sorted(taught(), key=lambda state: len(state.steps))
    step_format = retrieval_format()
    rows = step_texts(step_format, three, ("first", "mid", "final"))
    assert [row.kind for row in rows] == ["first", "mid", "final"]
    for depth, row in enumerate(rows[:2]):
        before = replace(three, steps=three.steps[:depth], executions=three.executions[:depth])
        assert row.read == step_format.prompt(before)
        assert row.written == three.steps[depth].text
        assert not row.ends
    final = rows[2]
    at_the_end = replace(three, steps=three.steps[:2], executions=three.executions[:2])
    assert final.read + "".join(step.text for step in three.steps[:2]) == step_format.prompt(at_the_end)
    assert final.written == "".join(step.text for step in three.steps)
    assert final.written.endswith("So the answer is: 1871.\n")
    assert final.ends
    assert [row.kind for row in step_texts(step_format, two, ("first", "mid", "final"))] == ["first", "final"]


def test_the_loss_is_on_what_the_step_writes_and_long_trajectories_are_counted() -> None:
    _, tokenizer = tiny_model()
    data = prepare_steps(taught(), tokenizer, retrieval_format(), 10_000, ("final", "mid"))
    assert [row.task for row in data.rows] == [1, 2, 2] or [row.task for row in data.rows] == [2, 1, 2]
    for row in data.rows:
        learned = tokenizer.decode([token for token in row.labels if token != NO_LOSS])
        assert learned.endswith("<|endoftext|>") == (row.task == 2)
        assert tokenizer.decode(row.ids).endswith(learned)
    longest = sorted(len(row.ids) for row in data.rows)
    shorter = prepare_steps(taught(), tokenizer, retrieval_format(), longest[0], ("first",))
    assert (shorter.trajectories, shorter.too_long) == (2, 0)
    with pytest.raises(TreestarError, match="all 2 trajectories exceed 20 tokens"):
        prepare_steps(taught(), tokenizer, retrieval_format(), 20, ("first",))


# --- training ---------------------------------------------------------------------------------------------------------


def test_training_follows_the_equation_step_by_step(base: str, tmp_path: Path) -> None:
    """With sigma moved by Adam at a known rate: the first update is one rate against the gradient's sign."""
    report = train(base, tmp_path / "a", accumulation=2)
    losses, sigma = report["kind_losses"], report["sigmas"]
    steps = [step for step, _ in report["losses"]]
    at = {kind: dict(map(tuple, values)) for kind, values in losses.items()}
    before = dict.fromkeys(at, 1.0)
    for step, whole in report["losses"]:
        present = [kind for kind in at if step in at[kind]]
        terms = [at[kind][step] / (2 * before[kind] ** 2) + math.log(before[kind]) for kind in present]
        assert whole == pytest.approx(sum(terms), rel=1e-3), step
        after = {kind: dict(map(tuple, sigma[kind]))[step] for kind in at}
        for kind in at:
            if kind not in present:
                assert after[kind] == before[kind], "a kind without rows is left out, its sigma too"
            else:
                assert after[kind] > before[kind], "the losses of a random model exceed sigma squared"
        before = after
    assert len(steps) == 4
    assert (tmp_path / "a" / "config.json").exists()
    assert json.loads((tmp_path / "a" / "config.json").read_text())["treestar_format"] == "retrieval"


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_sigmas_and_weights(base: str, tmp_path: Path) -> None:
    whole = train(base, tmp_path / "whole", accumulation=1, more={"save_strategy": "steps", "save_steps": 3})
    config = StepERTrainingConfig(
        epochs=2.0,
        batch_size=2,
        warmup=0.0,
        learning_rate=0.01,
        sigma_learning_rate=0.1,
        training_arguments={**PLAIN, "save_strategy": "steps", "save_steps": 3},
    )

    class Killed(Exception):
        pass

    def kill(progress: object) -> None:
        if progress.step == 5:  # type: ignore[attr-defined]
            raise Killed

    with pytest.raises(Killed):
        train_steper(eight_rows(), base, tmp_path / "parts", config, on_progress=kill)
    again = train_steper(eight_rows(), base, tmp_path / "parts", config, resume=True)
    assert again["resumed_from"] == "checkpoint-3"
    for kind, values in whole["sigmas"].items():
        assert again["sigmas"][kind][-1] == pytest.approx(values[-1])
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.parametrize("more", [{"weighting": "uniform"}, {"weighting": "fixed", "weights": "1.5,1,0.5"}])
def test_other_weightings_have_no_sigmas(base: str, tmp_path: Path, more: dict) -> None:
    config = StepERTrainingConfig(epochs=1.0, batch_size=8, training_arguments={"logging_steps": 1}, **more)
    report = train_steper(taught(), base, tmp_path, config)
    weights = [1.5, 1.0, 0.5] if "weights" in more else [1.0] * 3
    parts = [weight * values[0][1] for weight, values in zip(weights, report["kind_losses"].values(), strict=True)]
    assert report["losses"][0][1] == pytest.approx(sum(parts) / 3, rel=1e-3)
    assert not any(report["sigmas"].values())


def test_lora_trains_the_student_and_the_sigmas(base: str, tmp_path: Path) -> None:
    config = StepERTrainingConfig(
        epochs=4.0, batch_size=8, learning_rate=0.01, lora={"r": 4}, training_arguments={"logging_steps": 1}
    )
    report = train_steper(taught(), base, tmp_path, config)
    assert report["losses"][-1][1] < report["losses"][0][1]
    assert report["sigmas"]["final"][-1][1] > 1


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [False, True])
def test_two_processes_train_as_one(base: str, tmp_path: Path, fsdp: bool) -> None:
    """Two processes with one forward pass per step equal one with two, also where FSDP shards the model."""
    train(base, tmp_path / "one", accumulation=2)
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    script = ["-m", "support.train_steper_in_processes", base, str(tmp_path / "two"), "1", *(["fsdp"] if fsdp else [])]
    run = subprocess.run(
        [sys.executable, "-m", *launcher, *script], capture_output=True, text=True, env=environment, timeout=300
    )
    assert run.returncode == 0, run.stderr
    alone, together = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two"))
    assert (alone["settings"]["processes"], together["settings"]["processes"]) == (1, 2)
    for name in ("kind_losses", "sigmas"):
        for kind, values in alone[name].items():
            assert [x for _, x in together[name][kind]] == pytest.approx([x for _, x in values], rel=1e-3), (name, kind)
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for weight in expected:
        assert found[weight].float().numpy() == pytest.approx(expected[weight].float().numpy(), rel=0.02, abs=1e-3)
