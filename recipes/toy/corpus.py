"""The bootstrap policy's training text: taught problems rendered in the bound step format, and its tokenizer.

Every text here is exactly what the runtime builds at inference: prompt, steps, tags. A text is tokenized once with the
names n0, n1, ...; a training batch then moves all its names by one random offset. That adds a number to their token
ids, because the ids of the names are consecutive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from recipes.toy.teachers import teach
from treestar.benchmarks.gym import iter_problems, reworded
from treestar.policy.formats import ANSWER, END_OF_ANSWER, END_OF_CODE, END_OF_OUTPUT, END_OF_STEP, OPENING, OUTPUT
from treestar.policy.formats.binding import NAME_COUNT, bind_numbers

__all__ = [
    "LEAPS_AFTER",
    "Example",
    "Share",
    "build_examples",
    "encode_examples",
    "prompt_text",
    "solution_text",
    "train_tokenizer",
]

USER = "<|user|>:"
ASSISTANT = f"<|assistant|>: {OPENING.rstrip()}"
END_OF_TEXT = "<|endoftext|>"
LEAPS_AFTER = (END_OF_STEP, ASSISTANT, ",")
"""Tokens after which positions may skip ahead in training: between steps, before the first one, and between the items
of a question. The model then learns to find what it copies by its name, not by its distance."""
TAGS = (USER, ASSISTANT, END_OF_STEP, END_OF_CODE, END_OF_ANSWER, OUTPUT, END_OF_OUTPUT, ANSWER)


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one cell in the training data."""

    family: str
    level: str
    weight: float
    """Its share of the drawn examples, relative to the other cells' weights."""
    examples: int
    """Number of different problems."""


@dataclass(frozen=True, slots=True)
class Example:
    """One taught problem as text, its names starting at n0."""

    cell: tuple[str, str]
    question: str
    prompt: str
    solution: str
    names: int
    """The number of named numbers."""


def prompt_text(bound_question: str) -> str:
    """Everything the policy reads before its first step: what `treestar.policy.formats.BoundFormat` builds."""
    return f"{USER}\n{bound_question}\n{ASSISTANT}\n"


def solution_text(steps: Sequence[str]) -> str:
    """Everything the policy writes: the steps with the tags that end them."""
    return f"\n{END_OF_STEP}\n".join(steps) + f"\n{END_OF_CODE}"


def build_examples(shares: Iterable[Share], seed: int) -> list[Example]:
    """The taught problems of every cell, in the training split. Problems that their teacher gets wrong are left out."""
    examples: list[Example] = []
    for share in shares:
        found = 0
        random = Random(seed)
        for tried, problem in enumerate(iter_problems(share.family, share.level, "train", seed), start=1):
            question = problem.question if random.random() < 0.5 else reworded(problem.question, random)
            binding = bind_numbers(question, 0)
            steps = teach(problem, binding)
            if steps is not None:
                found += 1
                examples.append(
                    Example(
                        (share.family, share.level),
                        problem.question,
                        prompt_text(binding.question),
                        solution_text(steps),
                        len(binding.values),
                    )
                )
            if found == share.examples:
                break
            if tried > 4 * share.examples + 100:
                raise ValueError(f"the teacher solves only {found} of {tried} {share.family} {share.level} problems")
    return examples


def train_tokenizer(texts: Iterable[str], vocabulary: int = 1536) -> Any:
    """A byte-level BPE tokenizer (a transformers fast tokenizer) whose tags and names n0 ... n39 are single tokens.

    The ids of the names are consecutive. Digits are single tokens, and each word includes the space before it. Decoding
    restores every text byte for byte.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # A line break is a separate token: a prompt ends with one, and its tokens must not depend on what follows.
    pieces = Regex(r" ?[A-Za-z']+| ?[0-9]|\n|[^\sA-Za-z0-9]+(?=\s|$)| ?[^\sA-Za-z0-9]|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    names = [f"n{index}" for index in range(NAME_COUNT)]
    added = [AddedToken(text, special=False, normalized=False) for text in TAGS]
    added += [AddedToken(name, special=False, normalized=False, single_word=True) for name in names]
    # The tokens count toward the vocabulary, so that the embedding has a round size.
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(added) - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(without(texts, [*TAGS, *names]), trainer)
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    tokenizer.add_tokens(added)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        padding_side="left",
    )


def without(texts: Iterable[str], added: Sequence[str]) -> Iterable[str]:
    """The texts cut at the tokens that are added by hand, so that no merge is spent on them."""
    pattern = re.compile("|".join(rf"\b{re.escape(t)}\b" if t.isalnum() else re.escape(t) for t in added))
    for text in texts:
        yield from filter(None, pattern.split(text))


def encode_examples(tokenizer: Any, examples: Sequence[Example]) -> list[tuple[list[int], int]]:
    """(token ids with the end-of-text token, length of the prompt in tokens) for each example."""
    prompts = tokenizer([example.prompt for example in examples])["input_ids"]
    solutions = tokenizer([example.solution for example in examples])["input_ids"]
    end = tokenizer.eos_token_id
    return [(prompt + solution + [end], len(prompt)) for prompt, solution in zip(prompts, solutions, strict=True)]
