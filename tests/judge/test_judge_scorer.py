"""A judge as a scorer: values, costs, what it reads, and a real model."""

import asyncio
import json
from copy import deepcopy
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.instruct_server import InstructServer
from support.scripted_judge import ScriptedJudgeModel, spelled
from support.tiny_model import byte_tokenizer, save_tiny_model, tiny_model

from treestar.components import load_named_scorer
from treestar.judge import JudgeScorer, JudgeSettings, judge_prompt, load_judge
from treestar.judge.load import ANALYSIS_KEY, is_judge
from treestar.judge.scorer import judgment_of, verdict_probability
from treestar.judge.settings import split_judge_name
from treestar.policy import TransformersPolicy
from treestar.policy.formats import CotFormat, ThinkingFormat
from treestar.policy.formats.families import INSTRUCT
from treestar.policy.formats.templates import template_of
from treestar.ppm import load_scorer
from treestar.types import Execution, Problem, Proposal, Scores, State, Step, TreestarError

RIGHT, WRONG = r"It is fine. \boxed{Positive}", r"There is an error. \boxed{Negative}"


def state(*texts: str, question: str = "How much is 1 + 1?") -> State:
    return State(Problem(question), tuple(map(Step, texts)), (Execution(),) * len(texts))


def score(scorer: JudgeScorer, *states: State) -> Scores:
    return asyncio.run(scorer.score(states))


def score_and_close(scorer: JudgeScorer, *states: State) -> Scores:
    async def work() -> Scores:
        found = await scorer.score(states)
        await scorer.close()
        return found

    return asyncio.run(work())


def finds_bad(prompt: str, index: int) -> str:
    return WRONG if "bad" in prompt.split("<chunk>\n")[1].split("\n</chunk>")[0] else RIGHT


def test_a_state_is_judged_by_its_last_step_given_the_others() -> None:
    model = ScriptedJudgeModel(finds_bad)
    found = score(JudgeScorer(model), state("good"), state("bad"), state("bad", "good"))
    assert found.values == (1.0, -1.0, 1.0)
    assert found.analyses == (RIGHT, WRONG, RIGHT)
    assert not found.of_paths
    assert model.prompts[2] == judge_prompt("How much is 1 + 1?", ["bad"], "good")
    assert found.generated_tokens == len(RIGHT.split()) * 2 + len(WRONG.split())
    assert found.tokens == sum(len(prompt.split()) for prompt in model.prompts)


def test_equal_states_are_judged_once_and_every_search_pays_for_it() -> None:
    model = ScriptedJudgeModel(finds_bad)
    scorer = JudgeScorer(model)
    first = score(scorer, state("good"), state("good"))
    again = score(scorer, state("good"))
    assert len(model.prompts) == 1
    assert (first.values, again.values, again.analyses) == ((1.0, 1.0), (1.0,), (RIGHT,))
    assert (again.tokens, again.generated_tokens) == (first.tokens, first.generated_tokens)
    assert again.generated_tokens > 0


def test_blank_steps_are_not_judged() -> None:
    model = ScriptedJudgeModel(finds_bad)
    found = score(JudgeScorer(model), state(), state(" \n"), state("bad", "\n"))
    assert found.values == (0.0, 0.0, -1.0)
    assert found.analyses == ("", "", WRONG)
    assert len(model.prompts) == 1


def test_code_is_judged_with_its_output() -> None:
    model = ScriptedJudgeModel(finds_bad)
    step = Step("# add\nprint(1 + 1)", "print(1 + 1)")
    score(JudgeScorer(model), State(Problem("1 + 1?"), (step,), (Execution("2\n"),)))
    assert "```python\nprint(1 + 1)\n```\n```output\n2\n```" in model.prompts[0]


def test_an_aggregate_judges_the_path() -> None:
    model = ScriptedJudgeModel(finds_bad)
    found = score(JudgeScorer(model, aggregate="min"), state("bad", "good"), state("good", "good"))
    assert (found.values, found.of_paths) == ((-1.0, 1.0), True)
    assert len(model.prompts) == 4


def test_votes_are_shared() -> None:
    replies = [RIGHT, WRONG, RIGHT, "I do not know"]
    model = ScriptedJudgeModel(lambda _, index: replies[index])
    found = score(JudgeScorer(model, JudgeSettings(votes=4)), state("x"))
    assert found.values == (pytest.approx(2 * 2.5 / 4 - 1),)
    assert found.analyses == (RIGHT,)
    assert found.generated_tokens == sum(len(each.split()) for each in replies)
    assert model.samplings[0].temperature > 0
    assert not model.samplings[0].token_log_probabilities


def test_one_verdict_is_greedy_except_from_a_model_that_thinks() -> None:
    model = ScriptedJudgeModel(finds_bad)
    assert JudgeScorer(model).sampling.temperature == 0
    model.format = ThinkingFormat(lambda messages: messages[0]["content"], INSTRUCT)
    thinking = JudgeScorer(model).sampling
    assert thinking.temperature > 0
    assert thinking.token_log_probabilities
    assert thinking.max_tokens > JudgeScorer(ScriptedJudgeModel(finds_bad)).sampling.max_tokens


def test_a_verdict_counts_as_its_token_is_probable() -> None:
    sure = spelled([("Fine. ", -1.0), ("\\boxed", -0.5), ("{P", log(0.9)), ("ositive", -0.1), ("}", -0.1)])
    assert verdict_probability(sure) == pytest.approx(0.9)
    unsure = spelled([("\\boxed{", -0.5), ("Neg", log(0.6)), ("ative}", -0.1)])
    assert verdict_probability(unsure) == pytest.approx(0.4)
    changed = spelled(
        [("\\boxed{Negative}", log(0.2)), ("\n", 0.0), ("\\boxed{", 0.0), ("Positive", log(0.7)), ("}", 0.0)]
    )
    assert verdict_probability(changed) == pytest.approx(0.7)
    assert verdict_probability(spelled([("no idea", -0.1)])) == 0.5


def test_the_kept_reply_agrees_with_the_probability() -> None:
    doubtful = spelled([("\\boxed{", 0.0), ("Positive", log(0.3)), ("}", 0.0)])
    judged = judgment_of(Proposal((doubtful,), 5, 3))
    assert (judged.probability, judged.prompt_tokens, judged.generated_tokens) == (pytest.approx(0.3), 5, 3)
    assert judged.analysis == doubtful.text


@given(st.lists(st.sampled_from([RIGHT, WRONG, "?"]), min_size=1, max_size=8))
def test_values_are_in_range_and_do_not_depend_on_the_order_of_votes(replies: list[str]) -> None:
    first = judgment_of(Proposal(tuple(map(Step, replies))))
    second = judgment_of(Proposal(tuple(map(Step, reversed(replies)))))
    assert first.probability == second.probability
    assert 0.0 <= first.probability <= 1.0


def test_the_earliest_steps_are_left_out_of_a_prompt_that_is_too_long() -> None:
    texts = [f"{letter * 300}" for letter in "abcdefgh"]
    whole = len(judge_prompt("1 + 1?", texts[:-1], texts[-1]))
    model = ScriptedJudgeModel(finds_bad, context=whole - 900)
    assert score(JudgeScorer(model), state(*texts, question="1 + 1?")).values == (1.0,)
    [prompt] = model.prompts
    assert "a" * 300 not in prompt
    assert "g" * 300 in prompt
    assert "h" * 300 in prompt


def test_a_step_that_does_not_fit_at_all_is_neither_right_nor_wrong() -> None:
    with pytest.warns(RuntimeWarning, match="neither right nor wrong"):
        assert score(JudgeScorer(ScriptedJudgeModel(finds_bad, context=10)), state("a")).values == (0.0,)


def test_its_name_says_how_it_is_asked() -> None:
    model = ScriptedJudgeModel(finds_bad)
    assert JudgeScorer(model).name == "scripted judge (judge)"
    settings = JudgeSettings(votes=8, analysis=False)
    assert JudgeScorer(model, settings, "min").name == "scripted judge (judge, no analysis, 8 verdicts, min)"
    score(JudgeScorer(model, settings), state("x"))
    assert model.prompts == [judge_prompt("How much is 1 + 1?", [], "x", analysis=False)]


def test_closing_the_scorer_closes_the_model() -> None:
    model = ScriptedJudgeModel(finds_bad)
    asyncio.run(JudgeScorer(model).close())
    assert model.closed


@pytest.mark.parametrize(
    ("name", "model", "settings"),
    [
        ("some/model", "some/model", JudgeSettings()),
        ("m?judge_votes=8&judge_analysis=false", "m", JudgeSettings(votes=8, analysis=False)),
        ("vllm:m?dtype=half&judge_tokens=64", "vllm:m?dtype=half", JudgeSettings(tokens=64)),
        ("openai:m@http://host/v1?judge_votes=2", "openai:m@http://host/v1", JudgeSettings(votes=2)),
    ],
)
def test_settings_are_written_behind_the_name(name: str, model: str, settings: JudgeSettings) -> None:
    assert split_judge_name(name) == (model, settings)


@pytest.mark.parametrize("argument", ["judge_votes=many", "judge_colour=1", "judge_analysis=maybe", "judge_votes=0"])
def test_a_wrong_setting_is_refused(argument: str) -> None:
    with pytest.raises(TreestarError, match="judge"):
        split_judge_name(f"m?{argument}")


def test_a_judge_is_known_by_its_settings_its_files_or_its_kind(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "judge", treestar_judge_analysis=False)
    assert is_judge(str(folder))
    assert is_judge("m?judge_votes=2")
    assert not is_judge(str(save_tiny_model(tmp_path / "other")))
    with pytest.raises(TreestarError, match="load_judge"):
        load_scorer(str(folder), scorer_kind="judge")
    loaded = load_named_scorer(str(folder))
    assert isinstance(loaded, JudgeScorer)
    assert not loaded.analysis
    assert json.loads((folder / "config.json").read_text())[ANALYSIS_KEY] is False
    assert isinstance(load_named_scorer(str(tmp_path / "other"), scorer_kind="judge"), JudgeScorer)


@pytest.mark.parametrize(("settings", "kind"), [("?judge_votes=8", None), ("", "judge")])
def test_a_discriminative_judge_is_not_asked_for_verdicts(tmp_path: Path, settings: str, kind: str | None) -> None:
    (tmp_path / "config.json").write_text('{"treestar_scorer_kind": "rlhflow-prm"}')
    with pytest.raises(
        TreestarError, match=r"was trained as a scorer of the kind rlhflow-prm, .*: give its name without"
    ):
        load_named_scorer(f"{tmp_path}{settings}", scorer_kind=kind)


def test_an_untrained_model_gives_no_verdict_and_its_tokens_count(tmp_path: Path) -> None:
    model, _ = tiny_model(2048)
    tokenizer = byte_tokenizer()
    policy = TransformersPolicy(model, tokenizer, CotFormat(template_of(tokenizer), INSTRUCT), "tiny")
    scorer = JudgeScorer(policy, JudgeSettings(tokens=16))
    found = score(scorer, state("1 + 1 = 2 <|user|>"), state("1 + 1 = 3"))
    assert found.values == (0.0, 0.0)
    assert 0 < found.generated_tokens <= 32
    # The question's own special token is ordinary text to the judge.
    prompts = [judge_prompt("How much is 1 + 1?", [], text) for text in ("1 + 1 = 2 < |user|>", "1 + 1 = 3")]
    assert found.tokens == sum(len(tokenizer(f"<|user|>{each}<|assistant|>")["input_ids"]) for each in prompts)


def test_a_real_model_gives_the_probability_of_its_verdict() -> None:
    import torch

    model, tokenizer = deepcopy(tiny_model(2048)[0]), byte_tokenizer()
    prompt = tokenizer(f"<|user|>{judge_prompt('2?', [], 'two')}<|assistant|>")["input_ids"]
    reply = [*tokenizer("Yes \\boxed{Positive}")["input_ids"], tokenizer.eos_token_id]
    ids = torch.tensor([[*prompt, *reply]])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.0
    policy = TransformersPolicy(model, tokenizer, CotFormat(template_of(tokenizer), INSTRUCT), "tiny")
    found = score(JudgeScorer(policy, JudgeSettings(tokens=64)), state("two", question="2?"))
    assert found.analyses == ("Yes \\boxed{Positive}",)
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[0].float().log_softmax(-1)
    place = len(prompt) + len("Yes \\boxed{")
    assert found.values[0] == pytest.approx(2 * exp(float(logits[place - 1, ids[0, place]])) - 1, abs=1e-4)
    assert found.generated_tokens == len(reply)


def test_a_server_without_log_probabilities_gives_its_verdict() -> None:
    with InstructServer(WRONG) as server:
        scorer = load_judge(f"openai:some-model@{server.url}")
        found = score_and_close(scorer, state("1 + 1 = 3"))
    assert found.values == (-1.0,)
    [(path, body)] = server.bodies
    assert path.endswith("/chat/completions")
    assert body["messages"] == [{"role": "user", "content": judge_prompt("How much is 1 + 1?", [], "1 + 1 = 3")}]
    assert body["temperature"] == 0


def test_a_server_with_log_probabilities_gives_that_of_its_verdict() -> None:
    class WithLogProbabilities(InstructServer):
        def response(self, choice: dict[str, Any], prompt_tokens: int, tokens: int) -> dict[str, Any]:
            parts = [("An error. ", -0.3), ("\\boxed{", -0.1), ("Neg", log(0.8)), ("ative}", 0.0)]
            content = [{"token": text, "logprob": number} for text, number in parts]
            return super().response({**choice, "logprobs": {"content": content}}, prompt_tokens, tokens)

    with WithLogProbabilities(r"An error. \boxed{Negative}") as server:
        found = score_and_close(load_judge(f"openai:some-model@{server.url}"), state("1 + 1 = 3"))
    assert found.values == (pytest.approx(2 * 0.2 - 1),)


def test_a_server_is_asked_for_as_many_verdicts_as_wanted() -> None:
    with InstructServer(RIGHT) as server:
        scorer = load_judge(f"openai:some-model@{server.url}?judge_votes=3")
        found = score_and_close(scorer, state("1 + 1 = 2"))
    assert found.values == (1.0,)
    assert len(server.bodies) == 3
