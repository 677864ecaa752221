"""Writes a tiny random reward model of each public kind into a folder, under a name of its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.reward_models import LLAMA_TURNS, SIZES, add_tokens, piece_tokenizer, save_checkpoint, save_model

__all__ = ["MAKERS", "causal", "implicit_pair", "process_head", "value_head_model"]

Maker = Callable[[Path, Any], Path]
"""From an empty folder and a tokenizer to the model's folder in it."""


def seeded() -> Any:
    import torch

    torch.manual_seed(7)
    return torch


def qwen_config(tokenizer: Any, **more: Any) -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(vocab_size=len(tokenizer), **(SIZES | more))


def process_head(
    name: str, labels: int, architecture: str, layout: str = "safetensors", gain: float = 1.0, **sizes: int
) -> Maker:
    """Qwen2.5-Math's own classes: a two-layer head on Qwen2. `gain` multiplies its last layer, and `sizes` are those
    that differ from `SIZES`."""

    def make(folder: Path, tokenizer: Any) -> Path:
        torch = seeded()
        from transformers import Qwen2Model

        backbone = Qwen2Model(qwen_config(add_tokens(tokenizer, "<extra_0>", special=True), **sizes))
        width = SIZES["hidden_size"]
        score = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, labels))
        with torch.no_grad():
            score[2].weight *= gain
        return save_checkpoint(folder / name, backbone, {"score": score}, tokenizer, architecture, layout)

    return make


def causal(name: str, *tokens: str, template: str | None = None, tie: bool = False, **sizes: int) -> Maker:
    """A causal model under `name`, whose tokenizer has `tokens` too; `sizes` are those that differ from `SIZES`."""

    def make(folder: Path, tokenizer: Any) -> Path:
        seeded()
        from transformers import Qwen2ForCausalLM

        add_tokens(tokenizer, *tokens)
        tokenizer.chat_template = template or tokenizer.chat_template
        model = Qwen2ForCausalLM(qwen_config(tokenizer, tie_word_embeddings=tie, **sizes))
        return save_model(folder / name, model, tokenizer)

    return make


def math_shepherd(folder: Path, _: Any) -> Path:
    """A Mistral whose window of attention is shorter than the texts, with its own kind of tokenizer."""
    seeded()
    from transformers import MistralConfig, MistralForCausalLM

    tokenizer = piece_tokenizer()
    model = MistralForCausalLM(MistralConfig(vocab_size=len(tokenizer), **SIZES, sliding_window=24))
    return save_model(folder / "math-shepherd-mistral-7b-prm", model, tokenizer)


def value_head_model(folder: Path, tokenizer: Any) -> Path:
    torch = seeded()
    from transformers import Qwen2Model

    tokenizer.bos_token = "<|endoftext|>"
    summary = torch.nn.Linear(SIZES["hidden_size"], 1)
    backbone = Qwen2Model(qwen_config(tokenizer))
    heads = {"v_head.summary": summary}
    return save_checkpoint(folder / "Skywork-o1-Open-PRM", backbone, heads, tokenizer, "Qwen2ForPrmModel", "sharded")


def token_classifier(name: str) -> Maker:
    def make(folder: Path, tokenizer: Any) -> Path:
        torch = seeded()
        from transformers import Qwen2ForTokenClassification

        model = Qwen2ForTokenClassification(qwen_config(tokenizer, num_labels=2))
        torch.nn.init.normal_(model.score.bias)
        return save_model(folder / name, model, tokenizer)

    return make


def reasoneval(name: str, with_pieces: bool) -> Maker:
    """With pieces as the 7B model, whose pad token is also its first; otherwise as the 34B model."""

    def make(folder: Path, tokenizer: Any) -> Path:
        torch = seeded()
        from transformers import LlamaConfig, LlamaModel, MistralConfig, MistralModel

        tokenizer = piece_tokenizer() if with_pieces else tokenizer
        kinds = (MistralConfig, MistralModel) if with_pieces else (LlamaConfig, LlamaModel)
        backbone = kinds[1](kinds[0](vocab_size=len(tokenizer), **SIZES))
        heads = {"score_head": torch.nn.Linear(SIZES["hidden_size"], 3, bias=not with_pieces)}
        return save_checkpoint(folder / name, backbone, heads, tokenizer, name.replace("-", "_"), "bin")

    return make


def implicit_pair(folder: Path, tokenizer: Any) -> Path:
    """The PRM, and in `reference` beside it the model that it is compared with."""
    path = causal("EurusPRM-Stage2")(folder, tokenizer)
    torch = seeded()
    torch.manual_seed(8)
    from transformers import Qwen2ForCausalLM

    save_model(folder / "reference", Qwen2ForCausalLM(qwen_config(tokenizer)), tokenizer)
    return path


def reward_model(folder: Path, tokenizer: Any) -> Path:
    torch = seeded()
    from transformers import Qwen3Config, Qwen3ForSequenceClassification

    config = Qwen3Config(
        vocab_size=len(tokenizer), **SIZES, head_dim=32, num_labels=1, pad_token_id=tokenizer.pad_token_id
    )
    model = Qwen3ForSequenceClassification(config)
    torch.nn.init.normal_(model.score.weight)
    return save_model(folder / "Skywork-Reward-V2", model, tokenizer)


def capped_verifier(folder: Path, tokenizer: Any) -> Path:
    """A Gemma 2, which caps its logits, ties its weights, and lets every other layer see only a window."""
    seeded()
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=len(tokenizer), **SIZES, head_dim=8, sliding_window=24, final_logit_softcapping=2.0, pad_token_id=0
    )
    return save_model(folder / "instruct", Gemma2ForCausalLM(config), tokenizer)


PROCESS, OUTCOME = "Qwen2ForProcessRewardModel", "Qwen2ForRewardModel"

MAKERS: Mapping[str, tuple[str, Maker]] = {
    "Qwen2.5-Math-PRM": ("qwen-math-prm", process_head("Qwen2.5-Math-PRM-7B", 2, PROCESS)),
    "Qwen2.5-Math-PRM, sharded": ("qwen-math-prm", process_head("prm-72b", 2, PROCESS, "sharded")),
    "ReasonFlux-PRM": ("reasonflux-prm", process_head("ReasonFlux-PRM-7B", 2, PROCESS)),
    "Math-Shepherd": ("math-shepherd", math_shepherd),
    "RLHFlow PRM": ("rlhflow-prm", causal("Llama3.1-8B-PRM-Deepseek-Data", template=LLAMA_TURNS)),
    "RLHFlow ORM": ("rlhflow-orm", causal("Llama3.1-8B-ORM-Mistral-Data", template=LLAMA_TURNS)),
    "Skywork-o1-Open-PRM": ("skywork-prm", value_head_model),
    "TRL": ("trl-prm", token_classifier("Qwen2-0.5B-Reward-Math-Sheperd")),
    "PURE": ("pure-prm", token_classifier("PURE-PRM-7B")),
    "VersaPRM": ("versa-prm", causal("VersaPRM", " \n\n\n\n", tie=True)),
    "Math-PSA": ("math-psa", causal("math-psa", " \n\n\n\n\n")),
    "ReasonEval-7B": ("reasoneval", reasoneval("ReasonEval-7B", True)),
    "ReasonEval-34B": ("reasoneval", reasoneval("ReasonEval-34B", False)),
    "EurusPRM": ("implicit-prm", implicit_pair),
    "Skywork-Reward-V2": ("reward-model", reward_model),
    "Qwen2.5-Math-RM": ("reward-model", process_head("Qwen2.5-Math-RM-72B", 1, OUTCOME)),
    "verifier": ("yes-no", causal("any-instruct-model")),
    "Gemma 2 as verifier": ("yes-no", capped_verifier),
}
"""Every kind, some in several forms: its name, and what writes it."""
