"""Tokenizers that lose text or cut it elsewhere are found at load, and loaded as their tokenizer.json says."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import SHARED, needs_shared
from support.tiny_model import save_tiny_model

from treestar import TreestarError
from treestar.policy import load_policy
from treestar.policy.backends.vllm_engine import exact_tokenizer_folder
from treestar.policy.models import load_tokenizer, repaired_tokenizer, shipped_path
from treestar.ppm import ppm_from_policy

TEXT = "Step 1. hello  world\n\nWe get x = 12345\n    \tprint('it\\'s é')"


def set_class(folder: Path, name: str, model_type: str | None = None) -> Path:
    """Write another tokenizer class, and a config.json of a model type, into the folder."""
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tokenizer_class": name}))
    if model_type is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def byte_level(folder: Path, tokenizer_class: str) -> Path:
    """A byte-level BPE tokenizer with a Llama, under the name of another class."""
    return set_class(save_tiny_model(folder), tokenizer_class)


def sentence_piece(folder: Path) -> Path:
    """A tokenizer as in Llama 2: spaces written as an underline, one in front of a text, and bytes as a last resort."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcxyz"]
    backend = Tokenizer(
        models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>").save_pretrained(folder)
    return set_class(folder, "LlamaTokenizerFast", "llama")


def word_level(folder: Path) -> Path:
    """A tokenizer of words, which has no token for a line break."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"?": 0, "a": 1, "b": 2, "c": 3}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?").save_pretrained(folder)
    return folder


def described(folder: Path) -> Any:
    """The tokenizer exactly as in the folder's tokenizer.json."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return found


def test_byte_level_tokens_under_llamas_name_keep_spaces_and_newlines(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = byte_level(tmp_path, "LlamaTokenizerFast")
    lossy = AutoTokenizer.from_pretrained(folder)
    assert lossy.decode(ids(lossy, TEXT)) != TEXT, "transformers loads it right now: the guard may go"
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.decode(ids(tokenizer, TEXT)) == TEXT
    assert ids(tokenizer, TEXT) == described(folder).encode(TEXT).ids
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|endoftext|>")
    assert tokenizer.model_max_length == 512


def test_the_whole_stack_loads_it_right(tmp_path: Path) -> None:
    folder = str(byte_level(tmp_path, "LlamaTokenizerFast"))
    for tokenizer in (load_policy(folder).tokenizer, ppm_from_policy(folder).tokenizer):
        assert tokenizer.decode(ids(tokenizer, TEXT)) == TEXT


def test_a_right_tokenizer_is_left_as_it_is(tmp_path: Path) -> None:
    assert repaired_tokenizer(str(save_tiny_model(tmp_path))) is None
    assert repaired_tokenizer(str(shipped_path("policy", "toy"))) is None


def test_sentence_piece_with_a_space_in_front_is_accepted(tmp_path: Path) -> None:
    folder = sentence_piece(tmp_path)
    tokenizer = load_tokenizer(str(folder))
    assert ids(tokenizer, "a b\n\nc") == described(folder).encode("a b\n\nc").ids
    assert tokenizer.decode(ids(tokenizer, "a b\n\nc")).strip() == "a b\n\nc"


def test_a_tokenizer_that_loses_text_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=r"loses text: 'a b\\n\\nc' comes back as 'a b c'") as raised:
        load_tokenizer(str(word_level(tmp_path)))
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_tokenizer_raises_what_transformers_raises(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(Exception, match=r"(?i)tokenizer"):
        load_tokenizer(str(tmp_path))


def test_a_copy_for_libraries_that_use_auto_tokenizer(tmp_path: Path) -> None:
    """vLLM reads the copy with `AutoTokenizer`."""
    from transformers import AutoTokenizer

    assert exact_tokenizer_folder(str(save_tiny_model(tmp_path / "right"))) is None
    copy = exact_tokenizer_folder(str(byte_level(tmp_path / "wrong", "LlamaTokenizerFast")))
    assert copy is not None
    tokenizer = AutoTokenizer.from_pretrained(copy.name)
    assert tokenizer.decode(ids(tokenizer, TEXT)) == TEXT
    copy.cleanup()
    assert not Path(copy.name).exists()


@pytest.mark.vllm
def test_vllm_uses_the_exact_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_path("policy", "toy"), folder)
    set_class(folder, "LlamaTokenizerFast")
    assert repaired_tokenizer(str(folder)) is not None
    policy = load_policy(f"vllm:{folder}?enforce_eager=true&max_model_len=512&block_size=32", dtype="float32")
    assert policy.tokenizer.decode(ids(policy.tokenizer, TEXT)) == TEXT
    assert ids(policy.tokenizer, TEXT) == described(folder).encode(TEXT).ids
    asyncio.run(policy.close())


@needs_shared("tokenizers/deepseek_v3")
@pytest.mark.parametrize(
    "model_type",
    ["llama", "qwen2", *(pytest.param(name, marks=pytest.mark.slow) for name in (None, "qwen3", "deepseek_v3"))],
)
def test_a_released_tokenizer_whose_config_names_the_wrong_class(tmp_path: Path, model_type: str | None) -> None:
    """As `qwen2` the text survives, but numbers are cut into single digits instead of groups of three."""
    folder = copied("deepseek_v3", tmp_path, model_type)
    tokenizer = load_tokenizer(str(folder))
    assert ids(tokenizer, TEXT) == described(folder).encode(TEXT, add_special_tokens=False).ids
    assert tokenizer.decode(ids(tokenizer, TEXT)) == TEXT
    assert (repaired_tokenizer(str(folder)) is None) == (model_type == "deepseek_v3")
    assert tokenizer.bos_token == "<｜begin▁of▁sentence｜>"
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "1+1?"}], tokenize=False)
    assert rendered == "<｜begin▁of▁sentence｜><｜User｜>1+1?"


@needs_shared("tokenizers/qwen3")
@pytest.mark.parametrize("model_type", [pytest.param(None, marks=pytest.mark.slow), "qwen3"])
def test_a_released_tokenizer_that_is_right(tmp_path: Path, model_type: str | None) -> None:
    folder = copied("qwen3", tmp_path, model_type)
    assert repaired_tokenizer(str(folder)) is None
    assert ids(load_tokenizer(str(folder)), TEXT) == described(folder).encode(TEXT).ids


def copied(name: str, folder: Path, model_type: str | None) -> Path:
    shutil.copytree(SHARED / "tokenizers" / name, folder / name)
    if model_type is not None:
        (folder / name / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder / name


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(str(byte_level(tmp_path_factory.mktemp("mended"), "LlamaTokenizerFast")))


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_survives(mended: Any, text: str) -> None:
    assert mended.decode(ids(mended, text), clean_up_tokenization_spaces=False) == text
