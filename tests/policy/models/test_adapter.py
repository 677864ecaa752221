"""LoRA adapters as policies and PPMs: merged with their base at load, equal to what peft computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.support.tiny_model import saved_tiny_model
from treestar.policy import load_policy
from treestar.policy.load import read_step_format
from treestar.policy.models import folder_for_other_libraries, load_causal_model, load_config, load_tokenizer
from treestar.policy.models.adapter import merged, merged_by_peft
from treestar.policy.models.loading import ADAPTER_WEIGHTS
from treestar.policy.models.low_rank import is_plain
from treestar.ppm.load import load_scorer
from treestar.ppm.model import load_ppm, ppm_from_policy
from treestar.types import TreestarError

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_tiny_model(tmp_path_factory.mktemp("base"))


def lora(model: Any, **more: Any) -> Any:
    """The model with an adapter of random weights, which changes its outputs."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False, **more)
    return peft.get_peft_model(model, config)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An adapter's folder as peft writes it, and the weights of the merged model."""
    folder = tmp_path_factory.mktemp("adapter")
    whole = lora(load_causal_model(str(base)), task_type="CAUSAL_LM")
    whole.save_pretrained(folder)
    return folder, whole.merge_and_unload().state_dict()


def test_a_policy_is_the_base_with_the_adapter(base: Path, adapter: tuple[Path, Any]) -> None:
    folder, expected = adapter
    policy: Any = load_policy(str(folder), "rstar", device="cpu", dtype="float32")
    found = policy.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
    plain = load_causal_model(str(base)).state_dict()
    assert {name for name in plain if not torch.equal(plain[name], found[name])}
    assert policy.tokenizer.get_vocab() == load_tokenizer(str(base)).get_vocab()


@pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
def test_an_adapter_of_embeddings_that_are_also_the_output_layer_changes_only_its_own(
    targets: list[str], tmp_path: Path
) -> None:
    """The base ties the two: merged in place, the change of one would be in the other, too."""
    base = saved_tiny_model(tmp_path / "base")
    config = load_config(str(base))
    config.tie_word_embeddings = True
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(base)
    adapted = peft.get_peft_model(
        load_causal_model(str(base)),
        peft.LoraConfig(r=2, target_modules=["q_proj", *targets], init_lora_weights=False, task_type="CAUSAL_LM"),
    ).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.arange(20)[None]
    expected = adapted(ids).logits
    merged = load_causal_model(str(tmp_path / "adapter")).eval()
    assert torch.allclose(merged(ids).logits, expected, atol=1e-3)
    merged.save_pretrained(tmp_path / "whole")
    assert torch.allclose(load_causal_model(str(tmp_path / "whole")).eval()(ids).logits, expected, atol=1e-3)


def test_the_step_format_is_that_of_the_adapter(adapter: tuple[Path, Any], base: Path, tmp_path: Path) -> None:
    folder, _ = adapter
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((base / "config.json").read_text()) | {"treestar_format": "tir"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_step_format(str(tmp_path)).name == "tir"
    assert load_policy(str(tmp_path), device="cpu").format.name == "tir"


def test_other_libraries_get_whole_weights(
    adapter: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREESTAR_CACHE", str(tmp_path))
    folder, expected = adapter
    converted = folder_for_other_libraries(str(folder), "float32")
    found = load_causal_model(converted, dtype=torch.float32).state_dict()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
    assert folder_for_other_libraries(str(folder), "float32") == converted


@pytest.mark.parametrize("policy", ["base", "adapter"])
def test_a_ppm_brings_its_head(policy: str, base: Path, adapter: tuple[Path, Any], tmp_path: Path) -> None:
    """Its base can itself be an adapter, of a policy."""
    policy_folder = base if policy == "base" else adapter[0]
    ppm = ppm_from_policy(str(policy_folder))
    layers = load_causal_model(str(policy_folder)).model.state_dict()
    assert all(torch.allclose(weight, ppm.model.model.state_dict()[name]) for name, weight in layers.items())
    whole = lora(ppm.model, task_type="SEQ_CLS", modules_to_save=["score"])
    torch.nn.init.normal_(whole.base_model.model.score.modules_to_save["default"].weight)
    whole.peft_config["default"].base_model_name_or_path = str(policy_folder)
    whole.save_pretrained(tmp_path)
    merged = whole.merge_and_unload()
    merged.config.architectures = ["LlamaForSequenceClassification"]
    merged.config.save_pretrained(tmp_path)
    found = load_ppm(str(tmp_path), device="cpu", dtype="float32").model.state_dict()
    expected = merged.state_dict()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
    assert expected["score.weight"].abs().sum() > 0
    assert load_scorer(str(tmp_path), device="cpu").name == str(tmp_path)


def test_a_base_that_is_not_there_is_named(adapter: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = adapter
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    for name, message in (("/no/such/folder", "there is no such folder"), (None, "does not name its base")):
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": name}))
        with pytest.raises(TreestarError, match=message):
            load_policy(str(tmp_path), device="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stored", [torch.float32, torch.float8_e4m3fn])
def test_a_plain_adapter_is_merged_as_peft_merges_it(
    base: Path, adapter: tuple[Path, Any], tmp_path: Path, dtype: torch.dtype, stored: torch.dtype
) -> None:
    folder = shutil.copytree(adapter[0], tmp_path / "adapter")
    weights = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: weight.to(stored) for name, weight in weights.items()}, folder / ADAPTER_WEIGHTS)
    model = load_causal_model(str(base), dtype=dtype)
    assert is_plain(model, str(folder))
    expected = merged_by_peft(load_causal_model(str(base), dtype=dtype), str(folder)).state_dict()
    found = merged(model, str(folder)).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"init_lora_weights": "pissa"},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 4}},
        {"alpha_pattern": {"q_proj": 4}},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"modules_to_save": ["lm_head"]},
    ],
)
def test_what_a_variation_of_lora_does_is_left_to_peft(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = peft.LoraConfig(**{"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False, **settings})
    adapted = peft.get_peft_model(load_causal_model(str(base)), config).eval()
    adapted.save_pretrained(tmp_path)
    assert not is_plain(load_causal_model(str(base)), str(tmp_path))
    ids = torch.arange(20)[None]
    assert torch.allclose(
        merged(load_causal_model(str(base)), str(tmp_path)).eval()(ids).logits, adapted(ids).logits, atol=1e-3
    )
