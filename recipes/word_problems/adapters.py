"""What training changed in a model, as a small LoRA adapter of its base: the best approximation of low rank.

python -m recipes.word_problems.adapters --base smollm2-135m --trained FOLDER --rank 32 --out FOLDER

For a model that was itself trained with LoRA of that rank nothing is lost but the digits of bfloat16.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import save_file

from treestar.policy.models import load_config, load_weights, policy_path

__all__ = ["factors", "main", "write_adapter"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write what training changed as a LoRA adapter.")
    parser.add_argument("--base", required=True, help="the name by which the base is loaded wherever the adapter is")
    parser.add_argument("--trained", required=True, help="the folder of the trained policy or PPM")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    shares = write_adapter(options.base, options.trained, options.rank, options.out)
    lost = sorted(shares.values())
    print(f"{len(shares)} matrices; lost of the change: median {lost[len(lost) // 2]:.3f}, most {lost[-1]:.3f}")


def write_adapter(base: str, trained: str, rank: int, out: Path) -> dict[str, float]:
    """Write the adapter into the folder `out`.

    Returns:
        For every matrix the share of its change (of the squared norm) that the rank leaves out, in [0, 1].

    Raises:
        ValueError: a weight outside the layers' matrices was changed.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = load_config(policy_path(trained))
    is_ppm = config.architectures[0].endswith("ForSequenceClassification")
    kind: Any = AutoModelForSequenceClassification if is_ppm else AutoModelForCausalLM
    after = load_weights(kind, policy_path(trained), dtype=torch.float32)[0].state_dict()
    before = load_weights(AutoModelForCausalLM, policy_path(base), dtype=torch.float32)[0].state_dict()
    tensors: dict[str, torch.Tensor] = {}
    lost: dict[str, float] = {}
    modules: set[str] = set()
    for name, weight in after.items():
        if name == "score.weight":
            tensors[f"base_model.model.{name}"] = weight.clone()
        elif name.endswith("proj.weight"):
            module = name.removesuffix(".weight")
            up, down, lost[module] = factors(weight - before[name], rank)
            tensors[f"base_model.model.{module}.lora_A.weight"] = down.to(torch.bfloat16).contiguous()
            tensors[f"base_model.model.{module}.lora_B.weight"] = up.to(torch.bfloat16).contiguous()
            modules.add(module.rpartition(".")[2])
        elif not torch.allclose(weight, before[name], rtol=1e-2, atol=1e-4):
            raise ValueError(f"{name} was changed, and an adapter holds only the layers' matrices: train with LoRA")
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "adapter_model.safetensors")
    LoraConfig(
        base_model_name_or_path=base,
        task_type="SEQ_CLS" if is_ppm else "CAUSAL_LM",
        r=rank,
        lora_alpha=rank,
        target_modules=sorted(modules),
        modules_to_save=["score"] if is_ppm else None,
        inference_mode=True,
    ).save_pretrained(out)
    config.save_pretrained(out)
    return lost


def factors(change: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The two factors of the best approximation of `change` of that rank, and the share of its squared norm that is
    left out.

    Args:
        change: shape (outputs, inputs).

    Returns:
        Shapes (outputs, rank) and (rank, inputs).
    """
    left, values, right = torch.linalg.svd(change, full_matrices=False)
    root = values[:rank].sqrt()
    whole = values.square().sum()
    lost = float(values[rank:].square().sum() / whole) if whole > 0 else 0.0
    return left[:, :rank] * root, root[:, None] * right[:rank], lost


if __name__ == "__main__":
    main()
