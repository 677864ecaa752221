"""Makes the embedded policy from nothing: data, tokenizer, training, evaluation, model card, with one command.

python -m treestar.selfevolve.bootstrap --out DIR [--minutes M] [--seed S]
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treestar.policy.binding import NAME_COUNT
from treestar.selfevolve.corpus import Example, Share, build_examples, encode_examples, train_tokenizer
from treestar.selfevolve.training import ModelShape, Tokenized, TrainingConfig, TrainingLog, new_model, train

__all__ = ["SHARES", "main", "save_policy"]

SHARES: tuple[Share, ...] = (
    Share("gsm_symbolic", "taught", 44.0, 43 * 300),
    Share("chain_sum", "easy", 6.0, 600),
    Share("chain_sum", "mid", 0.25, 120),
    Share("chain_sum", "hard", 0.12, 60),
    Share("gcd", "easy", 3.0, 200),
    Share("gcd", "mid", 0.2, 100),
    Share("lcm", "easy", 3.0, 200),
    Share("lcm", "mid", 0.2, 100),
    Share("products", "easy", 3.0, 200),
    Share("products", "mid", 0.2, 100),
    Share("count_primes", "easy", 2.0, 200),
    Share("simple_equations", "easy", 7.0, 1500),
    Share("simple_geometry", "easy", 6.0, 600),
    Share("simple_geometry", "mid", 0.3, 100),
    Share("simple_geometry", "hard", 0.15, 60),
    Share("basic_arithmetic", "easy", 12.0, 4000),
    Share("basic_arithmetic", "mid", 1.0, 400),
    Share("basic_arithmetic", "hard", 0.5, 200),
    Share("leg_counting", "easy", 9.0, 3000),
    Share("leg_counting", "mid", 0.45, 200),
    Share("leg_counting", "hard", 0.2, 100),
    Share("fraction_simplification", "easy", 2.0, 200),
)
"""What is taught: the easy levels, a part of the gsm_symbolic templates, and a thin tail of longer problems."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    import argparse

    parser = argparse.ArgumentParser(description="Train the embedded policy from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--minutes", type=float, default=40.0, help="training time (default 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--early", type=Path, help="folder that gets a usable copy of the model every few minutes")
    options = parser.parse_args(arguments)
    make_policy(options.out, options.minutes, options.seed, options.early)


def make_policy(out: Path, minutes: float, seed: int, early: Path | None = None) -> TrainingLog:
    """Data, tokenizer, training; the finished folder is `out`."""
    began = time.monotonic()
    examples = build_examples(SHARES, seed)
    print(f"{len(examples)} problems taught, {time.monotonic() - began:.0f} s", flush=True)
    tokenizer = train_tokenizer(text for example in examples for text in (example.prompt, example.solution))
    cells = tokenized_cells(tokenizer, examples)
    model = new_model(ModelShape(), len(tokenizer), tokenizer.eos_token_id, seed)
    size = sum(parameter.numel() for parameter in model.parameters())
    lengths = [len(item.ids) for items in cells.values() for item in items]
    print(f"{size} parameters, vocabulary {len(tokenizer)}, {time.monotonic() - began:.0f} s", flush=True)
    print(f"tokens an example: mean {sum(lengths) / len(lengths):.0f}, longest {max(lengths)}", flush=True)
    saved = [time.monotonic() if early is None else 0.0]

    def report(log: TrainingLog, model: Any) -> None:
        step, seconds, loss = log.losses[-1]
        print(f"step {step} {seconds:.0f} s loss {loss:.4f} {log.tokens / seconds:.0f} tokens/s", flush=True)
        if early is not None and time.monotonic() - saved[0] > 120:
            save_policy(model, tokenizer, early)
            saved[0] = time.monotonic()

    weights = {(share.family, share.level): share.weight for share in SHARES}
    config = TrainingConfig(minutes=minutes, seed=seed)
    log = train(model, cells, weights, tokenizer.convert_tokens_to_ids("n0"), NAME_COUNT, config, report)
    save_policy(model, tokenizer, out)
    return log


def tokenized_cells(tokenizer: Any, examples: Sequence[Example]) -> dict[tuple[str, str], list[Tokenized]]:
    """The examples as token ids, by cell."""
    cells: dict[tuple[str, str], list[Tokenized]] = {}
    for example, (ids, prompt) in zip(examples, encode_examples(tokenizer, examples), strict=True):
        cells.setdefault(example.cell, []).append(Tokenized(ids, prompt, example.names))
    return cells


def save_policy(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write an ordinary Hugging Face folder in bf16; its config says which step format the model speaks."""
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    copy = LlamaForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True, temperature=1.0
    )
    copy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["treestar_format"] = "bound"
    path.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
