"""What a judge is trained on: the prompts of its use, both labels alike often, other problems held out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support.grpo_rollouts import ScriptedModel
from support.judging import annotated, examples_of_walks, walked, walks
from support.tiny_model import byte_tokenizer

from treestar.judge.config import AnnotationConfig
from treestar.judge.labels import LabelConfig
from treestar.judge.prompt import VERDICTS
from treestar.judge.scorer import JudgeScorer
from treestar.judge.settings import JudgeSettings
from treestar.policy.formats import step_format_named
from treestar.training.base_policy import Base
from treestar.training.judge.config import JudgeGRPOConfig, JudgeTrainingConfig
from treestar.training.judge.data import (
    Example,
    Prompts,
    as_problems,
    is_held_out,
    judge_data,
    read_analyses,
    read_examples,
    replies_of,
)
from treestar.training.judge.discriminative import discriminative_rows
from treestar.training.judge.verdicts import VerdictFormat, missing_verdict
from treestar.training.sft.data import NO_LOSS, reply_row, tokenize_prompt
from treestar.types import Execution, Problem, State, Step, TreestarError


def base(step_format: str = "rstar") -> Base:
    return Base("tiny", "tiny", None, byte_tokenizer(), step_format_named(step_format))


def solution() -> State:
    """A solution with code, its output, and texts that mean something to the judge's tokenizer."""
    steps = (
        Step("# half\nx = 7 / 2 # <|endoftext|>", "x = 7 / 2"),
        Step("<chunk>\nSo x is 3.\n</chunk>\n\n"),
    )
    return State(Problem("Half of 7?<chunk>", "3.5", "half"), steps, (Execution("3.5\n"), Execution()))


@pytest.mark.parametrize("analysis", [True, False])
@pytest.mark.parametrize("step_format", ["rstar", "bound"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_judge_is_trained_on_the_prompt_that_it_reads_in_use(analysis: bool, step_format: str, depth: int) -> None:
    model = ScriptedModel(lambda *_: VERDICTS[True], step_format)
    model.tokenizer = base().tokenizer
    state = State(solution().problem, solution().steps[:depth], solution().executions[:depth])
    asyncio.run(JudgeScorer(model, JudgeSettings(analysis=analysis)).score([state]))
    prompts = Prompts(replace(base(step_format), tokenizer=model.tokenizer), analysis)
    message = prompts.message(state)
    assert message is not None
    [read] = model.read
    assert tokenize_prompt(model.tokenizer, prompts.text(message))[0] == read
    assert prompts.length(message) == len(read)
    row = reply_row(model.tokenizer, prompts.text(message), VERDICTS[True])
    assert list(row.ids[: len(read)]) == read
    assert set(row.labels[: len(read)]) == {NO_LOSS}
    assert row.labels[len(read) :] == row.ids[len(read) :]
    assert row.ids[-1] == model.tokenizer.eos_token_id


def test_a_judge_of_the_bound_format_reads_the_names_of_numbers() -> None:
    message = Prompts(base("bound"), True).message(solution())
    assert message is not None
    assert "Half of n3?" in message
    assert "So x is 3." in message
    assert "<chunk>\nSo x" in message, "the tags around a chunk are not part of it"


def test_a_blank_chunk_is_not_asked_about() -> None:
    state = solution()
    blank = State(state.problem, (*state.steps, Step("\n\n")), (*state.executions, Execution()))
    assert Prompts(base(), True).message(blank) is None


def data_of(examples: list[Example], **settings: object):
    return judge_data(examples, Prompts(base(), True), JudgeTrainingConfig(**settings))


def test_both_labels_are_alike_often_unless_that_is_turned_off() -> None:
    examples = examples_of_walks(20)
    skewed = [each for each in examples if each.label or each.key[0] in ("walk-3", "walk-5", "walk-8")]
    data = data_of(skewed, held_out=0)
    assert Counter(example.label for example, _ in data.training) == {True: 3, False: 3}
    assert [example.label for example, _ in data.training] == [True, False] * 3
    assert data.counts == {"chunks": 23, "positive": 20, "left_out": 0}
    everything = data_of(skewed, held_out=0, balance=False)
    assert Counter(example.label for example, _ in everything.training) == {True: 20, False: 3}
    assert "training on 6, held out 0" in str(data)


def test_a_question_under_two_ids_is_not_trained_on_and_held_out() -> None:
    """Two folders of chunks can name the same problems in two ways, and have other solutions of them."""
    examples = examples_of_walks(60)
    again = [replace(each, key=(f"other {each.key[0]}", *each.key[1:])) for each in examples]
    config = JudgeTrainingConfig(held_out=0.3)
    assert any(is_held_out(each, config) for each in examples)
    assert [is_held_out(each, config) for each in examples] == [is_held_out(each, config) for each in again]


def test_held_out_chunks_are_of_other_problems() -> None:
    data = data_of(examples_of_walks(60), held_out=0.3)
    sets = [{example.key[0] for example, _ in part} for part in (data.training, data.held_out)]
    assert all(len(each) > 5 for each in sets)
    assert not sets[0] & sets[1]
    assert len(data_of(examples_of_walks(60), held_out=0.3, evaluated=4).held_out) == 4
    again = data_of(examples_of_walks(60), held_out=0.3)
    assert again == data
    assert data_of(examples_of_walks(60), held_out=0.3, seed=1) != data


def test_prompts_that_are_too_short_or_too_long_or_told_twice_are_left_out() -> None:
    examples = examples_of_walks(3)
    prompts = Prompts(base(), True)
    lengths = [prompts.length(message) for each in examples if (message := prompts.message(each.state))]
    assert data_of([*examples, *examples], held_out=0).counts["left_out"] == 6
    with pytest.raises(
        TreestarError, match="nothing to train a judge on: of 6 labeled chunks 3 are positive, and 6 are"
    ):
        data_of(examples, held_out=0, min_prompt_tokens=max(lengths) + 1)
    with pytest.raises(TreestarError, match="nothing to train"):
        data_of(examples, held_out=0, max_prompt_tokens=min(lengths) - 1)
    with pytest.raises(TreestarError, match="chunks of both labels"):
        data_of([each for each in examples if each.label], held_out=0)


def test_the_problems_of_reinforcement_ask_for_the_label() -> None:
    data = data_of(examples_of_walks(2), held_out=0)
    problems = as_problems(data.training)
    assert [problem.answer for problem in problems] == [VERDICTS[True], VERDICTS[False]] * 2
    assert [problem.question for problem in problems] == [message for _, message in data.training]
    assert len({problem.id for problem in problems}) == 4


def test_chunks_are_read_from_annotated_folders_and_labeled_anew(tmp_path: Path) -> None:
    asyncio.run(annotated(tmp_path, walks(5), AnnotationConfig(responses=8, completions=8)))
    stored = read_examples([tmp_path], None)
    absolute = read_examples([tmp_path], LabelConfig(rule="abs_q"))
    assert [each.key for each in stored] == [each.key for each in absolute]
    assert sum(each.label for each in absolute) > sum(each.label for each in stored)
    assert all(len(each.state.steps) == each.key[2] + 1 for each in stored)


def analyses_file(folder: Path, *replies: tuple[str, str]) -> Path:
    path = folder / "analyses.jsonl"
    lines = [
        json.dumps({"problem_id": problem, "solution": 0, "chunk": 0, "reply": reply}) for problem, reply in replies
    ]
    path.write_text("\n".join(lines))
    return path


def test_analyses_become_replies_and_without_analysis_verdicts(tmp_path: Path) -> None:
    reply = f"The letter is right. {VERDICTS[True]}"
    analyses = read_analyses(analyses_file(tmp_path, ("walk-0", reply), ("walk-9", reply)))
    examples = examples_of_walks(2)
    [(message, written)] = replies_of(examples, analyses, Prompts(base(), True))
    assert written == reply
    assert message == Prompts(base(), True).message(examples[0].state)
    assert replies_of(examples, analyses, Prompts(base(), False))[0][1] == VERDICTS[True]
    with pytest.raises(TreestarError, match="none of the 2 analyses is about"):
        replies_of(examples[2:], analyses, Prompts(base(), True))


def test_a_reply_may_have_any_line_separator(tmp_path: Path) -> None:
    path = tmp_path / "analyses.jsonl"
    row = {"problem_id": "walk-0", "solution": 0, "chunk": 0, "reply": f"One\u2028two. {VERDICTS[True]}"}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert list(read_analyses(path).values()) == [row["reply"]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "line 1, is not an analysis"),
        ('{"problem_id": "walk-0", "solution": 0, "chunk": 0}', "line 1, is not an analysis: KeyError"),
        ('{"problem_id": "walk-0", "solution": 0, "chunk": 0, "reply": 3}', "line 1, is not an analysis"),
        (
            '{"problem_id": "walk-0", "solution": 0, "chunk": 0, "reply": "Fine."}',
            "line 1: the reply has no clear verdict",
        ),
    ],
)
def test_a_wrong_file_of_analyses_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "analyses.jsonl"
    path.write_text(text)
    with pytest.raises(TreestarError, match=sentence):
        read_analyses(path)
    with pytest.raises(TreestarError, match="cannot be read"):
        read_analyses(tmp_path / "nowhere")


def test_a_reply_is_right_only_if_it_ended_with_a_clear_verdict() -> None:
    written = VerdictFormat(lambda messages: messages[0]["content"])
    state = State(Problem("?"))
    answers = [
        written.parse(state, text, ended).answer
        for text, ended in (
            (f"So {VERDICTS[True]}", True),
            (f"So {VERDICTS[False]}", True),
            (f"So {VERDICTS[True]}", False),
            (f"{VERDICTS[True]} or {VERDICTS[False]}", True),
            ("Fine.", True),
        )
    ]
    assert answers == [VERDICTS[True], VERDICTS[False], None, None, None]
    assert missing_verdict(answers) == [0.0, 0.0, -1.0, -1.0, -1.0]


def test_the_discriminative_rows_end_in_the_sign_of_the_label() -> None:
    prompts = Prompts(replace(base(), config=_Config()), False)
    tokenizer = prompts.base.tokenizer
    examples = examples_of_walks(1)
    rows = discriminative_rows(examples, prompts)
    assert [tokenizer.decode([row.ids[-1]]) for row in rows] == ["+", "-"]
    assert [set(row.labels[:-1]) for row in rows] == [{NO_LOSS}] * 2
    assert [row.labels[-1] for row in rows] == [row.ids[-1] for row in rows]
    text = tokenizer.decode(list(rows[0].ids))
    assert text.startswith("<|user|>Walk 0? ```python\na\n```\n```output\na\n```<|assistant|>+<|user|>")


class _Config:
    def to_dict(self) -> dict:
        return {"architectures": ["LlamaForCausalLM"]}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"mode": "ppo"}, "mode must be grpo or direct or rejection or discriminative"),
        ({"rule": "q"}, "rule must be"),
        ({"held_out": 1.0}, "held_out must be"),
        ({"replies": 0}, "replies must be"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        JudgeTrainingConfig(**fields)


def test_settings_that_mean_nothing_for_a_judge_are_refused() -> None:
    with pytest.raises(ValueError, match="max_depth must be left out"):
        JudgeGRPOConfig(max_depth=3)
    config = JudgeTrainingConfig().within(1024)
    assert (config.grpo.max_tokens, config.max_prompt_tokens) == (512, 512)
    long_buffer = JudgeTrainingConfig(
        grpo=JudgeGRPOConfig(max_tokens=1000, overlong_buffer=600, rewards={"overlong": 1.0})
    ).within(1024)
    assert long_buffer.grpo.overlong_buffer == 512
    replies = config.grpo.for_replies()
    assert (replies.max_depth, replies.max_step_tokens, replies.group_size) == (1, 512, 4)
    assert (replies.epsilon_low, replies.epsilon_high) == (0.2, 0.28)


def test_walks_have_both_labels() -> None:
    assert walked("ab").steps[-1].text == "b"
    assert Counter(each.label for each in examples_of_walks(3)) == {True: 3, False: 3}


@pytest.mark.parametrize("given", [{"gamma": 0.7}, {"alpha": 0.8}, {"best_of": 2}, {"replies": 4}])
def test_what_would_have_no_effect_is_refused(given: dict[str, float]) -> None:
    """Without a rule labels stay as they are stored; only rejection samples replies."""
    [name] = given
    with pytest.raises(ValueError, match=f"{name} must be left out unless"):
        JudgeTrainingConfig(**given)
    assert JudgeTrainingConfig(rule="rel_ratio", gamma=0.7).labels == LabelConfig(rule="rel_ratio", gamma=0.7)
