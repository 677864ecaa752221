"""A GGUF file, or a folder that holds one, is a model: the same logits and tokens as the folder it was made of."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.tiny_gguf import save_folder_and_gguf
from support.tiny_model import save_tiny_model

from treestar import TreestarError
from treestar.policy import load_policy
from treestar.policy.models import (
    folder_for_other_libraries,
    load_causal_model,
    load_config,
    load_tokenizer,
    policy_path,
)
from treestar.policy.models.gguf_file import gguf_metadata
from treestar.ppm import load_ppm, load_scorer, ppm_from_policy
from treestar.types import Problem, Sampling, State

TEXTS = ("she has 12\n\n1. x  12 it's\n   3", "<|im_start|>user\nhe  he<|im_end|>\n\n\n12", "é 10_000 \t\n 9")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_folder_and_gguf(tmp_path_factory.mktemp("tiny"))


def logits(path: str) -> Any:
    import torch

    with torch.no_grad():
        return load_causal_model(path, dtype=torch.float32)(torch.arange(3, 60)[None]).logits


def test_its_logits_are_those_of_the_folder(saved: tuple[Path, Path]) -> None:
    import torch

    plain, file = saved
    torch.testing.assert_close(logits(policy_path(str(file))), logits(str(plain)), rtol=1e-4, atol=1e-4)
    assert policy_path(str(file.parent)) == str(file)


def test_its_tokens_are_those_of_the_folder(saved: tuple[Path, Path]) -> None:
    """transformers alone takes GPT-2's rule, by which a line break before a number is two tokens."""
    plain, file = saved
    expected, found = load_tokenizer(str(plain)), load_tokenizer(str(file))
    for text in TEXTS:
        ids = expected.encode(text, add_special_tokens=False)
        assert found.encode(text, add_special_tokens=False) == ids
        assert found.decode(ids) == text
    assert found.tokenize("a\n\n12") == ["a", "ĊĊ", "1", "2"]
    assert (found.eos_token, found.bos_token, found.pad_token) == ("<|im_end|>", "<|im_start|>", "<|im_end|>")
    assert found.model_max_length == 1024
    messages = [{"role": "user", "content": "hi"}]
    assert found.apply_chat_template(messages, tokenize=False) == expected.apply_chat_template(messages, tokenize=False)


def test_a_policy_writes_the_same(saved: tuple[Path, Path]) -> None:
    plain, file = saved
    state, greedy = State(Problem("1 + 1?")), Sampling(temperature=0.0, max_tokens=12)
    texts = []
    for name in (str(plain), str(file), str(file.parent)):
        policy = load_policy(name, "rstar", "cpu", dtype="float32")
        proposal = asyncio.run(policy.propose(state, 1, greedy, seed=0))
        texts.append(proposal.steps[0].text)
    assert texts[0] == texts[1] == texts[2]


def test_a_ppm_starts_from_it_and_is_saved_as_a_folder(saved: tuple[Path, Path], tmp_path: Path) -> None:
    ppm_from_policy(str(saved[1])).save(tmp_path)
    assert load_ppm(str(tmp_path)).model.config.num_labels == 1


@pytest.mark.parametrize("load", [load_ppm, load_scorer])
def test_a_gguf_file_is_no_ppm_and_the_sentence_says_how_one_is_made_of_it(saved: tuple[Path, Path], load: Any) -> None:
    for name in (saved[1], saved[1].parent):
        with pytest.raises(
            TreestarError, match=r"a GGUF file, which holds no value head.*`treestar train ppm --policy"
        ):
            load(str(name))


def test_a_copy_for_vllm_is_made_once(
    saved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("TREESTAR_CACHE", str(tmp_path))
    plain, file = saved
    folder = folder_for_other_libraries(str(file), "float32")
    assert Path(folder).is_relative_to(tmp_path)
    torch.testing.assert_close(logits(folder), logits(str(plain)), rtol=1e-4, atol=1e-4)
    assert load_config(folder).dtype == torch.float32
    made = Path(folder, "model.safetensors").stat().st_mtime_ns
    assert folder_for_other_libraries(str(file), "float32") == folder
    assert Path(folder, "model.safetensors").stat().st_mtime_ns == made
    assert folder_for_other_libraries(str(file), "bfloat16") != folder
    assert folder_for_other_libraries(str(plain), "float32") == str(plain)


def test_an_unknown_rule_for_cutting_is_refused_unless_a_tokenizer_lies_beside(tmp_path: Path) -> None:
    plain, file = save_folder_and_gguf(tmp_path, rule="some-new-rule")
    with pytest.raises(TreestarError, match="cuts text by the rule 'some-new-rule'"):
        load_policy(str(file))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(plain / name, file.parent / name)
    for text in TEXTS:
        assert load_tokenizer(str(file)).encode(text) == load_tokenizer(str(plain)).encode(text)


def test_a_file_without_a_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match="cuts text by the rule 'without a name'"):
        load_tokenizer(str(save_folder_and_gguf(tmp_path, rule=None)[1]))


def test_a_folder_with_two_files_names_them(saved: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(saved[1], tmp_path / name)
    with pytest.raises(TreestarError, match=r"has 2 GGUF files \(a.gguf, b.gguf\): name one of them"):
        policy_path(str(tmp_path))
    assert policy_path(str(tmp_path / "a.gguf")) == str(tmp_path / "a.gguf")


def test_a_folder_with_a_model_and_a_gguf_file_is_the_model(saved: tuple[Path, Path], tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    shutil.copy(saved[1], folder / "other.gguf")
    assert policy_path(str(folder)) == str(folder)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match="there is no such file"):
        policy_path(str(tmp_path / "missing.gguf"))


@pytest.mark.parametrize("cut", [0, 3, 24, 200, 3000])
def test_a_file_that_ends_early_is_one_sentence(saved: tuple[Path, Path], tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(saved[1].read_bytes()[:cut])
    with pytest.raises(TreestarError, match=r"cut\.gguf is not a complete GGUF file") as raised:
        gguf_metadata(file)
    assert "\n" not in str(raised.value)


def test_the_header_is_read(saved: tuple[Path, Path]) -> None:
    found = gguf_metadata(saved[1])
    assert found["general.architecture"] == "llama"
    assert found["llama.context_length"] == 1024
    assert found["tokenizer.ggml.pre"] == "smollm"
    assert found["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)
