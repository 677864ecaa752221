"""Trains a tiny policy that thinks, checks and tries again, for measurements of thinking budgets.

    python bench/thinking_policy.py OUT [--steps 1500] [--seed 0]

The task is to add five to seven digits. A thought adds one digit after another. In the training data it contains a
mistake in a third of the attempts; then it goes on with "Wait" and tries again. Some thoughts are cut off anywhere, so
that the model also answers after those. The answer is always right. All data are made here. OUT becomes an ordinary
model folder: tokens <think> and </think>, a chat template that begins the thought, 0.3 million parameters, trained from
nothing in some minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

import torch

__all__ = ["train", "write_problems"]

MISTAKES = 1 / 3
FEWEST, MOST = 5, 7
BATCH = 32
TEMPLATE = (
    "{% for each in messages %}{{ each.content }}{% endfor %}{% if add_generation_prompt %}\n<think>\n{% endif %}"
)


def digits(rng: Random) -> list[int]:
    return [rng.randrange(1, 10) for _ in range(rng.randint(FEWEST, MOST))]


def question(numbers: list[int]) -> str:
    return "+".join(map(str, numbers))


def attempt(numbers: list[int], rng: Random | None) -> tuple[str, int]:
    """One line for each addition, and the total; with `rng` one of the additions is wrong."""
    wrong = None if rng is None else rng.randrange(1, len(numbers))
    total, lines = numbers[0], []
    for place, number in enumerate(numbers[1:], start=1):
        after = total + number
        if rng is not None and place == wrong:
            after += rng.choice([-2, -1, 1, 2])
        lines.append(f"{total}+{number}={after}\n")
        total = after
    return "".join(lines), total


def thought(numbers: list[int], rng: Random) -> tuple[str, int]:
    """Attempts until one has no mistake."""
    text = ""
    while rng.random() < MISTAKES:
        text += attempt(numbers, rng)[0] + "Wait\n"
    lines, total = attempt(numbers, None)
    return text + lines, total


def example(rng: Random) -> tuple[str, str]:
    """A problem, and a reply: a thought, sometimes cut off anywhere, and the answer."""
    numbers = digits(rng)
    text, total = thought(numbers, rng)
    lines = text.splitlines(keepends=True)
    if rng.random() < 0.3:  # so that the model answers after any beginning of a thought
        lines = lines[: rng.randint(0, len(lines))]
        text = "".join(lines)
    return question(numbers), f"{text}</think>\n\nFinal Answer: {total}"


def tokenizer() -> Any:
    """Characters, and the tokens of thoughts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(["<think>", "</think>"])
    backend.add_special_tokens(["<|end|>"])
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>", model_max_length=1024
    )
    made.chat_template = TEMPLATE
    return made


def train(out: Path, steps: int, seed: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from treestar.policy.formats import step_format_for
    from treestar.types import Problem, State

    torch.manual_seed(seed)
    rng, words = Random(seed), tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=1024,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    written = step_format_for(config, words)

    def tokens() -> tuple[list[int], int]:
        """An example, and the length of its prompt."""
        asked, reply = example(rng)
        prompt = words(written.prompt(State(Problem(asked))))["input_ids"]
        return [*prompt, *words(reply)["input_ids"], words.eos_token_id], len(prompt)

    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for step in range(steps):
        batch = [tokens() for _ in range(BATCH)]
        longest = max(len(text) for text, _ in batch)
        ids = torch.tensor([text + [words.eos_token_id] * (longest - len(text)) for text, _ in batch])
        labels = torch.tensor([[-100] * asked + text[asked:] + [-100] * (longest - len(text)) for text, asked in batch])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(out)
    words.save_pretrained(out)


def write_problems(path: Path, count: int, seed: int) -> None:
    """`count` distinct problems. Of millions of possible ones, training may have drawn some of them too."""
    rng, seen = Random(f"test {seed}"), dict[str, int]()
    while len(seen) < count:
        numbers = digits(rng)
        seen.setdefault(question(numbers), sum(numbers))
    lines = [json.dumps({"question": each, "answer": str(total)}) for each, total in seen.items()]
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.out, arguments.steps, arguments.seed)


if __name__ == "__main__":
    main()
