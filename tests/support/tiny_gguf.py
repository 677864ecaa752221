"""A tiny random Llama as an ordinary folder and as the GGUF file that llama.cpp's converter would write of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

MERGES = [("Ġ", "Ġ"), ("Ċ", "Ċ"), ("h", "e"), ("1", "2")]

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_folder_and_gguf(folder: Path, rule: str | None = "smollm") -> tuple[Path, Path]:
    """The model as a folder and as a GGUF file; skips the test where the package gguf is missing.

    Args:
        rule: the name by which the file says how its tokenizer cuts text. The folder's tokenizer sets digits apart.
    """
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    model, tokenizer = folder_model()
    plain, file = folder / "plain", folder / "gguf" / "tiny.gguf"
    model.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    file.parent.mkdir(parents=True)
    write_gguf(file, model, tokenizer, rule)
    return plain, file


def folder_model() -> tuple[Any, Any]:
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words += ["".join(pair) for pair in MERGES]
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, MERGES))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(word, normalized=False) for word in words[:3]])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=words[1],
        eos_token=words[2],
        pad_token=words[2],
        unk_token=words[0],
        model_max_length=1024,
        chat_template=TEMPLATE,
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


def write_gguf(file: Path, model: Any, tokenizer: Any, rule: str | None) -> None:
    from gguf import GGUFWriter, TokenType

    config = model.config
    writer = GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    if rule is not None:
        writer.add_tokenizer_pre(rule)
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_token_list([word for word, _ in words])
    writer.add_token_types([TokenType.CONTROL if index < 3 else TokenType.NORMAL for _, index in words])
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(gguf_name(name), gguf_order(name, tensor.float().numpy(), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    name = name.replace("model.layers.", "blk.")
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def gguf_order(name: str, weight: Any, config: Any) -> Any:
    """llama.cpp rotates neighbors, transformers halves: the rows of queries and keys stand in another order."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape).copy()
