"""Trajectories to learn from: executed in the sandbox, the policy's own tokens marked; and which groups are kept."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.grpo_rollouts import Script, ScriptedModel, answering, scripted, sums
from support.questions import QUESTIONS
from support.sft_rows import sum_row
from support.tiny_model import tiny_model

from treestar.policy.backends.prompt_tokens import encode, prompt_tokens
from treestar.policy.formats import step_format_named
from treestar.policy.models import load_tokenizer, shipped_path
from treestar.sandbox import SandboxExecutor
from treestar.search import Components
from treestar.training.grpo.choice import PassRates
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.evaluation import Outcome, evaluate, summary
from treestar.training.grpo.figures import figures_of
from treestar.training.grpo.policy import OwnTokensPolicy, trajectory_tokens
from treestar.training.grpo.reward_functions import give_rewards, reward_functions
from treestar.training.grpo.rollouts import Rollout, sample_groups
from treestar.training.grpo.sampling import Sampled, sample_for_step
from treestar.types import Problem, State, TreestarError

LOOP = asyncio.new_event_loop()


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> Iterator[None]:
    """One sandbox for all tests of this file, because it takes a second to start."""
    executor = SandboxExecutor()
    EXECUTORS.append(executor)
    yield
    EXECUTORS.clear()
    LOOP.run_until_complete(executor.close())
    LOOP.close()


EXECUTORS: list[SandboxExecutor] = []


def parts_of(script: Script, step_format: str, max_tokens: int = 1000, context: int = 4096) -> Components:
    return scripted(script, step_format, EXECUTORS[0], max_tokens, context)


def groups_of(script: Script, step_format: str, count: int = 2, problems: int = 1, **settings: Any) -> Any:
    config = GRPOConfig(**settings)
    parts = parts_of(script, step_format, config.max_tokens)
    return LOOP.run_until_complete(sample_groups(sums(problems), count, config, parts, 0))


def sampled(script: Script, chosen: Sequence[int] = (0, 1), problems: int = 6, **settings: Any) -> Sampled:
    config = GRPOConfig(**{"group_size": 2, **settings})
    parts, rates = parts_of(script, "rstar"), PassRates.unknown(problems)
    return LOOP.run_until_complete(
        sample_for_step(chosen, sums(problems), config, parts, reward_functions(config), rates, "key")
    )


def texts(rollout: Rollout) -> tuple[str, str]:
    """What the policy wrote, and what it only read after the prompt."""
    tokenizer = tiny_model()[1]
    marked = list(zip(rollout.completion_ids, rollout.own, strict=True))
    return tuple(tokenizer.decode([token for token, own in marked if own == which]) for which in (1, 0))


def test_what_the_executor_wrote_is_not_the_policys() -> None:
    [group] = groups_of(answering(lambda question, index: index == 0), "rstar")
    right, wrong = group
    assert (right.correct, wrong.correct) == (True, False)
    assert (right.answer, wrong.answer) == ("2", "99")
    assert texts(wrong) == (
        "# add the numbers\ntotal = 99\n<end_of_step>print(total)\n<end_of_code>\\boxed{99}<end_of_answer>",
        "\n\n<output>99<end_of_output>\n<answer>",
    )
    assert right.generated_tokens == sum(right.own) < len(right.own) == len(right.completion_ids)
    assert right.has_reasoning
    assert right.executed_steps == 2
    assert right.ended == "answer"


def test_the_policy_reads_exactly_the_tokens_it_wrote() -> None:
    """Tokens that no tokenizer would make of the text: the byte tokens of a tag, instead of the tag's one token."""
    tokenizer = tiny_model()[1]
    tag = [tokenizer.convert_tokens_to_ids(letter) for letter in "<end_of_step>"]
    read: list[list[int]] = []

    class OtherTokens(ScriptedModel):
        def written(self, text: str, most: int, stop_strings: tuple[str, ...]) -> Any:
            found = super().written(text, most, stop_strings)
            [one] = tokenizer("<end_of_step>", add_special_tokens=False)["input_ids"]
            ids = [token for each in found.token_ids for token in (tag if each == one else [each])]
            return replace(found, tokens=len(ids), token_ids=tuple(ids))

    parts = parts_of(answering(lambda *_: True), "rstar")
    parts.policy.policy.__class__ = OtherTokens  # type: ignore[attr-defined]
    [[rollout]] = LOOP.run_until_complete(sample_groups(sums(1), 1, GRPOConfig(), parts, 0))
    read = parts.policy.policy.read  # type: ignore[attr-defined]
    whole = rollout.prompt_ids + rollout.completion_ids
    assert len(read) == 3
    assert all(whole[: len(prompt)] == prompt for prompt in read)
    assert any(whole[place : place + len(tag)] == tag for place in range(len(whole)))
    for prompt in read:
        assert rollout.own[len(prompt) - len(rollout.prompt_ids)] == 1, "what follows a prompt is written"


def test_in_use_the_policy_reads_the_same_tokens() -> None:
    """With the included policies' tokenizer: what is learned is under the prompts that a search gives later."""
    tokenizer, form = load_tokenizer(str(shipped_path("policy", "toy-bootstrap"))), step_format_named("bound")
    whole = sum_row(12, "bound").trajectory
    steps = tuple(replace(step, token_ids=tuple(encode(tokenizer, form.written(step)))) for step in whole.steps)
    for depth in range(len(steps)):
        state = State(whole.problem, steps[:depth], whole.executions[:depth])
        prompt, completion, own = trajectory_tokens(tokenizer, form, state)
        assert prompt + completion == prompt_tokens(tokenizer, form, state)
        assert own.count(0) == depth, "the line break after each step"


def test_what_the_executor_wrote_counts_for_the_overlong_penalty_as_for_the_limit() -> None:
    config = GRPOConfig(max_tokens=200, rewards={"overlong": 1.0})
    parts = parts_of(lambda *_: "I print.\n```python\nprint('9' * 500)\n```\n", "tir", config.max_tokens)
    [group] = LOOP.run_until_complete(sample_groups(sums(1), 1, config, parts, 0))
    give_rewards(group, reward_functions(config), config.rewards)
    [rollout] = group
    assert rollout.ended == "context"
    assert rollout.generated_tokens < 100
    assert rollout.reward == -1.0


def test_the_interval_of_an_evaluation_is_not_empty_where_all_or_none_is_right() -> None:
    """Wilson's for each cell: 10 of 10 is .722 to 1, 0 of 10 is 0 to .278."""
    outcomes = [Outcome(cell, str(place), cell == "easy", 0, 1) for cell in ("easy", "hard") for place in range(10)]
    found = summary(outcomes, 0)
    assert (found["eval_greedy"], found["eval_greedy/easy"], found["eval_greedy/hard"]) == (0.5, 1.0, 0.0)
    assert found["eval_greedy_low"] == pytest.approx(0.5 - 0.278 / 2, abs=1e-3)
    assert found["eval_greedy_high"] == pytest.approx(0.5 + 0.278 / 2, abs=1e-3)


def tool_user(read: str, index: int) -> str:
    """A `tir` reply whose first block fails in candidate 0."""
    if "```output" not in read:
        name = "unknown" if index == 0 else "1"
        return f"I compute it.\n```python\nprint({name})\n```\n"
    if "NameError" in read and read.count("```output") == 1:
        return "I correct it.\n```python\nprint(2)\n```\n"
    return "So the sum is \\boxed{2}."


def test_a_policy_that_reads_its_errors_can_correct_them() -> None:
    [group] = groups_of(tool_user, "tir")
    failing = next(each for each in group if each.failed_steps)
    assert (failing.correct, failing.executed_steps, failing.failed_steps) == (True, 2, 1)
    own, read = texts(failing)
    assert "NameError" in read
    assert "NameError" not in own
    assert own.endswith("\\boxed{2}.<|endoftext|>"), "the end of its sequence is the policy's decision"
    [ended] = groups_of(tool_user, "tir", after_error="end")
    failed = next(each for each in ended if each.failed_steps)
    assert (failed.ended, failed.answer, failed.correct) == ("error", None, False)


def test_a_failed_step_leaves_the_state_before_it() -> None:
    def script(read: str, index: int) -> str:
        if "x = 2" not in read:
            return "x = 2\n<end_of_step>"
        return "x = 9; raise ValueError\n<end_of_step>" if "raise" not in read else "print(x)\n<end_of_code>"

    [[rollout]] = groups_of(script, "bound", count=1, after_error="continue")
    assert (rollout.answer, rollout.failed_steps, rollout.executed_steps) == ("2", 1, 3)


def test_a_trajectory_has_at_most_the_allowed_tokens() -> None:
    [group] = groups_of(lambda read, index: "x = 1\n<end_of_step>", "rstar", max_tokens=30, max_depth=100)
    for rollout in group:
        assert len(rollout.completion_ids) <= 30
        assert rollout.ended in ("truncated", "context")
        assert rollout.is_void == (not rollout.trajectory.steps[-1].code)


def test_a_prompt_that_leaves_no_room_gives_no_group_and_is_replaced() -> None:
    config = GRPOConfig(group_size=2)
    problems = [Problem("What is 0 plus 2?" + " " * 3000, "2", "long"), *sums(3)]
    parts = parts_of(answering(lambda question, index: index == 0), "rstar", context=1500)
    found = LOOP.run_until_complete(
        sample_for_step([0, 1], problems, config, parts, reward_functions(config), PassRates.unknown(4), "key")
    )
    assert found.unusable == 1
    assert [len(group) for group in found.groups] == [2, 2]
    assert all(group[0].problem.id != "long" for group in found.groups)


def test_a_question_that_is_sampled_twice_has_other_trajectories() -> None:
    seeds = []

    class Noted(ScriptedModel):
        async def generate(self, prompt: Any, n: int, sampling: Any, seed: int, stops: Any) -> Any:
            seeds.append(seed)
            return await super().generate(prompt, n, sampling, seed, stops)

    policy = OwnTokensPolicy(Noted(answering(lambda *_: True), "rstar"), 1000)
    parts = replace(parts_of(answering(lambda *_: True), "rstar"), policy=policy)
    [problem] = sums(1)
    groups = LOOP.run_until_complete(sample_groups([problem, problem], 2, GRPOConfig(), parts, 0))
    assert [len(group) for group in groups] == [2, 2]
    assert len(set(seeds)) == len(seeds)


def test_the_greedy_answer_to_a_problem_with_tests_is_judged_by_them() -> None:
    tests = ["assert add(1, 2) == 3"]
    problem = Problem("Write add(a, b).", None, "add", kind="code", metadata={"tests": tests})
    for operator, right in (("+", True), ("-", False)):
        script = f"```python\ndef add(a, b):\n    return a {operator} b\n```"
        own = parts_of(lambda *_, script=script: script, "cot")
        [outcome] = LOOP.run_until_complete(
            evaluate([("code", problem)], 2, GRPOConfig(), replace(own, policy=own.policy.policy), own)
        )
        assert (outcome.greedy, outcome.solved) == (right, 2 * right)


def test_answers_to_questions_about_facts_are_compared_and_rewarded_as_in_squad() -> None:
    question, f1 = QUESTIONS[0], "treestar.verifier:question_reward"
    assert question.metadata["answer_aliases"] == ["Mayor Brandt"]
    answers = ["the mayor Brandt", "Brandt", "Nora Lind"]
    parts = parts_of(lambda _, index: f"She was born in Telmar. So the answer is: {answers[index]}.", "cot")
    [group] = LOOP.run_until_complete(sample_groups([question], 3, GRPOConfig(), parts, 0))
    assert [each.correct for each in group] == [True, False, False]
    give_rewards(group, reward_functions(GRPOConfig(rewards={"correct": 1.0, f1: 1.0})), {"correct": 1.0, f1: 1.0})
    assert [each.rewards["correct"] for each in group] == [1, 0, 0]
    assert [each.rewards[f1] for each in group] == pytest.approx([1, 2 / 3, 0])
    usual = replace(parts, policy=parts.policy.policy)
    [outcome] = LOOP.run_until_complete(evaluate([("questions", question)], 3, GRPOConfig(), usual, parts))
    assert (outcome.greedy, outcome.solved) == (True, 1)


def test_groups_without_contrast_are_replaced_as_often_as_allowed() -> None:
    def one_in_three(question: str, index: int) -> bool:
        return int(question.split()[0]) % 3 == 2 and index == 0

    off = sampled(answering(one_in_three), dynamic_sampling=0)
    assert (off.first_groups, off.first_without_contrast, off.replaced) == (2, 2, 0)
    assert len(off.rollouts) == 4
    on = sampled(answering(one_in_three), dynamic_sampling=3)
    assert {group[0].problem.id for group in on.groups} == {"sum-2", "sum-5"}
    assert on.first_without_contrast == 2
    assert on.replaced >= 2
    assert len({problem for problem, _, _ in on.tried}) == len(on.tried), "no problem is tried twice"
    never = sampled(answering(lambda *_: True), dynamic_sampling=9)
    assert len(never.groups) == 2
    assert len(never.tried) == 6


def test_resample_on_correct_samples_twice_as_many_and_keeps_half() -> None:
    found = sampled(answering(lambda _, index: index % 2 == 0), group_size=4, resample_on_correct=True)
    assert [len(group) for group in found.groups] == [4, 4]
    assert len(found.rollouts) == 16
    assert [tried for _, tried, _ in found.tried] == [8, 8]
    assert [sum(bool(each.correct) for each in group) for group in found.groups] == [2, 2]


def test_figures_count_what_was_sampled() -> None:
    found = figures_of(sampled(answering(lambda _, index: index == 0), dynamic_sampling=0))
    assert found["policy/correct"] == (2.0, 4.0)
    assert found["policy/tool_error_when_correct"] == (0.0, 2.0)
    assert found["policy/failed_steps"] == (0.0, 8.0)
    assert found["groups/without_contrast"] == (0.0, 2.0)
    assert found["policy/steps"] == (12.0, 4.0)
    assert found["tokens/generated"] == found["policy/length"][0]


def test_rewards_add_up_with_their_weights() -> None:
    found = sampled(answering(lambda _, index: index == 0), rewards={"correct": 1.0, "executed": 0.1})
    assert [each.reward for each in found.groups[0]] == [1.1, 0.1]
    assert found.groups[0][0].rewards == {"correct": 1.0, "executed": 1.0}


def broken(completions: Sequence[str], **_: Any) -> list[float]:
    raise KeyError("mood")


def infinite(completions: Sequence[str], **_: Any) -> list[float]:
    return [math.nan, math.inf]


def short(completions: Sequence[str], **_: Any) -> list[float]:
    return [1.0]


def test_a_faulty_reward_is_a_sentence_or_is_counted() -> None:
    script = answering(lambda _, index: index == 0)
    with pytest.raises(TreestarError, match=r"the reward .*:broken failed: KeyError: 'mood'"):
        sampled(script, rewards={f"{__name__}:broken": 1.0})
    with pytest.raises(TreestarError, match=r"gave 1 values for 2 trajectories"):
        sampled(script, rewards={f"{__name__}:short": 1.0})
    with pytest.raises(TreestarError, match=r"the reward no_such_module:f cannot be imported"):
        reward_functions(GRPOConfig(rewards={"no_such_module:f": 1.0}))
    found = sampled(script, rewards={f"{__name__}:infinite": 1.0, "correct": 1.0}, dynamic_sampling=0)
    assert found.faulty_rewards == 4
    assert [each.reward for each in found.groups[0]] == [1.0, 0.0]
