"""Loading public reward models: what is recognized, what can be overridden, what is refused in one sentence; and their
engine: blank steps, long states, saturated heads, half precision."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.reward_model_makers import MAKERS, causal, process_head
from support.reward_models import SIZES, add_tokens, byte_tokenizer, save_model

from treestar.components import ComponentsConfig, open_components
from treestar.ppm import TransformersScorer, load_scorer, ppm_from_policy
from treestar.ppm.public import JUDGE_KIND, OWN_KIND, SCORER_KINDS
from treestar.ppm.public.checkpoint import read_checkpoint
from treestar.ppm.public.choose import CONVENTIONS, kind_of
from treestar.ppm.public.scorer import PublicScorer
from treestar.ppm.reading import TransformersReader
from treestar.types import Execution, Problem, State, Step, TreestarError

PROCESS = "Qwen2ForProcessRewardModel"


def state(*steps: str, question: str = "How much is 2 + 3?") -> State:
    return State(Problem(question), tuple(Step(each) for each in steps), (Execution(),) * len(steps))


def values(scorer: Any, states: Sequence[State]) -> tuple[float, ...]:
    found: tuple[float, ...] = asyncio.run(scorer.score(states)).values
    return found


def loaded(folder: Path, **how: Any) -> PublicScorer:
    scorer = load_scorer(str(folder), device="cpu", dtype=how.pop("dtype", "float32"), **how)
    assert isinstance(scorer, PublicScorer)
    return scorer


def refused(name: object, **how: Any) -> str:
    """The sentence with which a scorer is refused."""
    with pytest.raises(TreestarError) as caught:
        load_scorer(str(name), device="cpu", dtype="float32", **how)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return process_head("Qwen2.5-Math-PRM-7B", 2, PROCESS)(tmp_path_factory.mktemp("prm"), byte_tokenizer())


def test_every_kind_has_a_convention_and_only_one_recognizes_each_model(tmp_path: Path) -> None:
    assert {OWN_KIND, JUDGE_KIND, *CONVENTIONS} == set(SCORER_KINDS)
    for name, (kind, make) in MAKERS.items():
        folder = make(tmp_path / name.replace(" ", "-"), byte_tokenizer())
        checkpoint = read_checkpoint("m", str(folder))
        recognizing = [each for each, convention in CONVENTIONS.items() if convention.recognizes(checkpoint)]
        assert recognizing == ([] if kind == "yes-no" else [kind]), name
        if recognizing:
            assert kind_of(checkpoint) == kind


def test_default_aggregates_that_depend_on_the_name(tmp_path: Path) -> None:
    folder = process_head("Qwen2.5-Math-7B-PRM800K", 2, PROCESS)(tmp_path, byte_tokenizer())
    assert loaded(folder).aggregate == "min"


def test_the_name_says_kind_and_aggregate(prm: Path) -> None:
    assert loaded(prm).name == f"{prm} (qwen-math-prm, product)"
    assert loaded(prm, scorer_kind="reasonflux-prm", aggregate="min").name == f"{prm} (reasonflux-prm, min)"


def test_a_causal_model_under_another_name_needs_its_kind(tmp_path: Path) -> None:
    folder = causal("my-model", " \n\n\n\n")(tmp_path, byte_tokenizer())
    sentence = refused(folder)
    assert f"scorer '{folder}': nothing in the files of this Qwen2ForCausalLM says how it scores" in sentence
    assert all(kind in sentence for kind in SCORER_KINDS)
    assert loaded(folder, scorer_kind="versa-prm").aggregate == "min"
    assert loaded(folder, scorer_kind="rlhflow-prm").convention.kind == "rlhflow-prm"


def test_what_is_refused(prm: Path, tmp_path: Path) -> None:
    folder = causal("model")(tmp_path, byte_tokenizer())
    assert "its checkpoint has no weight 'score.0.weight'" in refused(
        prm_without_head(tmp_path, prm), scorer_kind="qwen-math-prm"
    )
    assert "no single token for '<extra_0>'" in refused(folder, scorer_kind="qwen-math-prm")
    assert "no single token for ' ки'" in refused(folder, scorer_kind="math-shepherd")
    assert r"no single token for ' \n\n\n\n'" in refused(folder, scorer_kind="versa-prm")
    assert "no `bos_token`" in refused(folder, scorer_kind="skywork-prm")
    assert "there is no scorer kind 'prm': it is one of ppm, qwen-math-prm" in refused(prm, scorer_kind="prm")
    assert "there is no aggregate 'max': it is one of last, min" in refused(prm, aggregate="max")
    assert "what follows the ? is not reference=MODEL" in refused(f"{prm}?x=1")
    assert "only a model of the kind implicit-prm has a reference model" in refused(f"{prm}?reference=x")
    assert "cannot be computed through a server" in refused("openai:m@http://localhost:1", scorer_kind="qwen-math-prm")
    assert "leave out --aggregate" in refused("toy", aggregate="min")
    assert "that folder has no config.json" in refused(tmp_path)
    assert "hub id needs a network" in refused("nobody/no-such-prm")
    assert "PPM 'nobody/no-such-reference' cannot be loaded" in refused(
        f"{folder}?reference=nobody/no-such-reference", scorer_kind="implicit-prm"
    )


def test_a_reference_with_other_tokens_is_one_sentence(tmp_path: Path) -> None:
    folder = causal("EurusPRM-Stage2")(tmp_path, byte_tokenizer())
    other = causal("other")(tmp_path, add_tokens(byte_tokenizer(), "answer"))
    assert f"its reference '{other}' has another tokenizer" in refused(f"{folder}?reference={other}")
    scorer = load_scorer(f"{folder}?reference={folder}", device="cpu", dtype="float32")
    assert scorer.name == f"{folder}?reference={folder} (implicit-prm, min)"
    assert values(scorer, [state("It is 5", "So 5")]) == (0.0,), "a model differs in nothing from itself"


def prm_without_head(folder: Path, prm: Path) -> Path:
    """A policy with the token of a PRM."""
    target = causal("no-head", "<extra_0>")(folder, byte_tokenizer())
    config = json.loads((target / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    return target


def test_missing_and_foreign_weights_are_one_sentence(prm: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForSequenceClassification

    weights = load_file(prm / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    broken = process_head("prm", 2, PROCESS)(tmp_path, byte_tokenizer())
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    assert "its checkpoint lacks layers.1.mlp.up_proj.weight" in refused(broken)

    tokenizer = byte_tokenizer()
    sizes = {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}
    bert = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes, num_labels=1))
    folder = save_model(tmp_path / "bert", bert, tokenizer)
    assert "says how it scores" in refused(folder)
    assert "does not read from left to right" in refused(folder, scorer_kind="yes-no")
    tokenizer.chat_template = None
    policy = causal("plain")(tmp_path, tokenizer)
    (policy / "chat_template.jinja").unlink(missing_ok=True)
    scorer = loaded(policy, scorer_kind="yes-no")
    with pytest.raises(TreestarError, match="has no chat template, which a model of the kind yes-no needs"):
        values(scorer, [state("It is 5")])


def test_a_template_that_raises_is_one_sentence(prm: Path, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    )
    scorer = loaded(process_head("prm", 2, PROCESS)(tmp_path, tokenizer))
    with pytest.raises(TreestarError, match="its chat template does not accept the conversation: no system role"):
        values(scorer, [state("It is 5")])


def test_this_projects_own_models_are_recognized_first(tmp_path: Path) -> None:
    assert isinstance(load_scorer("toy", device="cpu"), TransformersScorer)
    ppm_from_policy("toy").save(tmp_path / "ppm")
    for kind in (None, OWN_KIND):
        assert isinstance(load_scorer(str(tmp_path / "ppm"), device="cpu", scorer_kind=kind), TransformersScorer)


def test_blank_steps_add_nothing_and_no_steps_are_neutral(prm: Path) -> None:
    scorer = loaded(prm)
    found = values(scorer, [state(), state(" \n"), state("It is 5"), state("", "It is 5", "\n\n")])
    assert found[:2] == (0.0, 0.0)
    assert found[2] == found[3] != 0


@pytest.mark.parametrize("kind", ["qwen-math-prm", "rlhflow-prm", "math-shepherd", "reward-model"])
def test_beginnings_that_are_asked_about_together_are_read_once(kind: str, tmp_path: Path) -> None:
    folder = next(make for found, make in MAKERS.values() if found == kind)(tmp_path / "model", byte_tokenizer())
    beginnings = [state(*("2 + 3 = 5.\n", "5 + 1 = 6.\n", "So 6.\n")[:depth]) for depth in (1, 2, 3)]
    beginnings.append(state("2 + 3 = 5.\n", "5 + 2 = 7.\n"))

    together = asyncio.run(loaded(folder, scorer_kind=kind, aggregate="last").score(beginnings))
    whole = asyncio.run(loaded(folder, scorer_kind=kind, aggregate="last").score(beginnings[2:]))

    alone = [values(loaded(folder, scorer_kind=kind, aggregate="last"), [each])[0] for each in beginnings]
    assert together.values == pytest.approx(alone, abs=1e-4)
    if kind != "reward-model":  # which scores whole answers, so each beginning is another text
        assert together.tokens == whole.tokens


def test_what_exceeds_the_context_scores_as_its_steps_that_fit(prm: Path) -> None:
    scorer = loaded(prm)
    states = [state("It is 5", "long " * 500), state("It is 5"), state("long " * 500)]
    with pytest.warns(RuntimeWarning, match="exceed the 2048 tokens"):
        found = values(scorer, states)
    assert found[0] == found[1] != 0
    assert found[2] == 0


def test_saturated_scores_keep_their_places(tmp_path: Path) -> None:
    """A softmax component that is exactly 0 loses no step: in float32 that needs logits 104 apart."""
    scorer = loaded(process_head("prm", 2, PROCESS, gain=1e5)(tmp_path, byte_tokenizer()), aggregate="last")
    steps = [f"{number} is {'right' if number % 3 else 'wrong'}, {number * 7919}" for number in range(12)]
    found = values(scorer, [state(*steps[: count + 1]) for count in range(len(steps))])
    assert {-1.0, 1.0} & set(found)
    weights = load_file(tmp_path / "prm" / "model.safetensors")
    row = scorer.row_of(state(*steps))
    [reader] = scorer.readers
    assert isinstance(reader, TransformersReader)
    with torch.no_grad():
        hidden = reader.backbone(torch.tensor([row.ids])).last_hidden_state[0]
        inner = (hidden @ weights["score.0.weight"].T + weights["score.0.bias"]).relu()
        probabilities = (inner @ weights["score.2.weight"].T + weights["score.2.bias"]).softmax(-1)
    mask = torch.tensor(row.ids) == scorer.convention.tokenizer.convert_tokens_to_ids("<extra_0>")
    assert (probabilities[mask] == 0).any()
    assert found == pytest.approx((2 * probabilities[mask][:, 1] - 1).tolist(), abs=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_close(prm: Path, dtype: str) -> None:
    states = [state("It is 5"), state("It is 5", "So 5 it is"), state("It is 6")]
    exact, half = values(loaded(prm), states), values(loaded(prm, dtype=dtype), states)
    assert half == pytest.approx(exact, abs=0.1)
    assert len(set(half)) == 3


def test_a_name_is_needed_to_say_how_it_scores() -> None:
    async def opened() -> None:
        async with open_components(ComponentsConfig(aggregate="min")):
            pass

    with pytest.raises(TreestarError, match="for a scorer given by name: also give --scorer"):
        asyncio.run(opened())
