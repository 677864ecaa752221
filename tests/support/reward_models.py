"""Tiny random reward models of public classes, written as their checkpoints are, and the tokenizers they need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.paths import SHARED

__all__ = [
    "CHATML",
    "LLAMA_TURNS",
    "SIZES",
    "add_tokens",
    "byte_tokenizer",
    "piece_tokenizer",
    "qwen3_tokenizer",
    "save_checkpoint",
    "save_model",
]

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.3,
}
"""Of every tiny model."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

LLAMA_TURNS = (
    "{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def byte_tokenizer() -> Any:
    """A token for every byte, and those of conversations; no first token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>", chat_template=CHATML
    )


def piece_tokenizer() -> Any:
    """Pieces that begin with the space before them, bytes for the rest, and `<s>` as first and as pad token, like the
    tokenizer of Llama 2 and Mistral."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    merges = [("▁", "к"), ("▁к", "и"), ("▁", "+"), ("▁", "-")]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters, "к", "и"]
    pieces += [first + second for first, second in merges]
    backend = Tokenizer(
        models.BPE({piece: index for index, piece in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<s>"
    )


def qwen3_tokenizer() -> Any:
    """The real tokenizer of Qwen3, with the tokens and the template of `byte_tokenizer`."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(SHARED / "tokenizers" / "qwen3")
    add_tokens(tokenizer, *SPECIAL, special=True)
    tokenizer.chat_template = CHATML
    return tokenizer


def add_tokens(tokenizer: Any, *texts: str, special: bool = False) -> Any:
    """The same tokenizer, with these texts as tokens."""
    tokenizer.add_tokens(list(texts), special_tokens=special)
    return tokenizer


def save_model(folder: Path, model: Any, tokenizer: Any, **config: object) -> Path:
    """A model of a class that transformers has, with additional entries in its config.json."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


def save_checkpoint(
    folder: Path,
    backbone: Any,
    heads: Mapping[str, Any],
    tokenizer: Any,
    architecture: str,
    layout: str = "safetensors",
) -> Path:
    """A model of a class that only its checkpoint's own code has: a backbone, and modules beside it by name. That code
    is named in config.json and fails when it is run.

    Args:
        layout: the form of the weights: `safetensors`, `sharded` (with an index) or `bin` (PyTorch's).
    """
    import torch
    from safetensors.torch import save_file

    weights = {f"model.{name}": tensor for name, tensor in backbone.state_dict().items()}
    for head, module in heads.items():
        weights |= {f"{head}.{name}": tensor for name, tensor in module.state_dict().items()}
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    elif layout == "sharded":
        parts = shards(sorted(weights))
        for file, names in parts.items():
            save_file({name: weights[name] for name in names}, folder / file, {"format": "pt"})
        index = {"metadata": {}, "weight_map": {name: file for file, names in parts.items() for name in names}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(folder)
    config = backbone.config.to_dict() | {
        "architectures": [architecture],
        "auto_map": {"AutoModel": f"modeling.{architecture}", "AutoConfig": "modeling.Config"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text("raise RuntimeError('code of the checkpoint was run')\n")
    return folder


def shards(names: Sequence[str]) -> dict[str, Sequence[str]]:
    """The names in two files."""
    half = len(names) // 2
    return {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
