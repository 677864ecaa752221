"""A tiny random Llama with a byte tokenizer, made by the tests: a real model for backend tests."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def tiny_model(context: int = 512) -> tuple[Any, Any]:
    """(model, tokenizer): 2 layers, width 64, fp32; the format's tags are single tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(["<end_of_step>", "<end_of_code>", "<end_of_answer>"])
    backend.add_special_tokens(["<|endoftext|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>", model_max_length=context
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


def save_tiny_model(folder: Path, **config: object) -> Path:
    """The tiny model as an ordinary Hugging Face folder, with additional entries in its config.json."""
    model, tokenizer = tiny_model()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def byte_tokenizer(bos: bool = False) -> Any:
    """A tokenizer of bytes with a chat template, which writes a beginning-of-sequence token if texts begin with one."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    _, tokenizer = tiny_model()
    backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens(["<s>"])
    if bos:
        token = ("<s>", backend.token_to_id("<s>"))
        backend.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[token])
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", **({"bos_token": "<s>"} if bos else {})
    )
    made.chat_template = (
        "{{ bos_token }}" if bos else ""
    ) + "{% for each in messages %}<|{{ each.role }}|>{{ each.content }}{% endfor %}<|assistant|>"
    return made


def saved_tiny_model(folder: Path) -> Path:
    """The folder, with the model and its tokenizer in it."""
    model, tokenizer = tiny_model()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
