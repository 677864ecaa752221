"""The small student of the toy world: its tokenizer, and its training from scratch to read a fact in a paragraph.

That is what a pretrained model brings along. Chains of facts, and what to look up next, it learns from the teacher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from recipes.retrieval.world import RELATIONS, World, fact_sentence
from treestar.policy.formats import RetrievalFormat, plain_template, step_format_named
from treestar.retrieval.corpus import shown
from treestar.storage.files import write_json
from treestar.types import Problem, State

__all__ = ["make_tokenizer", "new_student", "read_facts", "save_student"]

END = "<|endoftext|>"
ROWS = 4
"""Rows in a batch."""
READING_SHARE = 0.3
"""Weight of the loss on what it only reads."""
QUESTIONS = 5
"""Questions about one set of paragraphs."""


def make_tokenizer(world: World) -> Any:
    """The world's words as tokens, each with the space before it, and bytes for everything else."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    sample = "\n\n".join(shown(each) for each in world.paragraphs.values())
    sample += " ".join(fact_sentence(" A", relation, " B") for relation in RELATIONS)
    sample += "\nQuestion: What is the of\nAnswer:\nSo the answer is: So ? ."
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[^A-Za-z]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words = [word for word, _ in split.pre_tokenize_str(sample)]
    vocabulary = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *words])
    backend = Tokenizer(models.BPE({word: place for place, word in enumerate(vocabulary)}, [], ignore_merges=True))
    backend.pre_tokenizer = split
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END, pad_token=END)


def new_student(tokenizer: Any, seed: int, width: int = 128, layers: int = 4) -> Any:
    """A Llama with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def read_facts(
    model: Any,
    tokenizer: Any,
    world: World,
    folder: Path,
    steps: int,
    seed: int = 0,
    rate: float = 1e-2,
    tell: Callable[[int, float], None] = lambda _step, _loss: None,
) -> None:
    """Train `model` in place to answer questions about one fact of the paragraphs that it reads.

    Args:
        folder: holds a checkpoint, from which an interrupted training continues.
        steps: length of the training; the learning rate falls to 0 in its second half.
        tell: called every 50 steps with the step and the mean loss since then.
    """
    import torch

    from treestar.training.muon import MuonWithAdamW

    optimizer = MuonWithAdamW(model, rate)
    rates = [group["lr"] for group in optimizer.param_groups]
    done, checkpoint = 0, folder / "checkpoint.pt"
    if checkpoint.exists():
        stored = torch.load(checkpoint)
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        done = stored["step"]
    losses = []
    for step, (ids, answers) in enumerate(reading_batches(world, tokenizer, seed, done, steps), start=done + 1):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].transpose(1, 2)
        each = torch.nn.functional.cross_entropy(logits, ids[:, 1:], reduction="none")
        loss = each[answers[:, 1:]].mean()
        # Names recur in what it reads, too, so that teaches it to look back.
        read = (ids[:, 1:] != tokenizer.pad_token_id) & ~answers[:, 1:]
        torch.autograd.backward(loss + READING_SHARE * each[read].mean())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        share = min(1.0, step / 30, 2 * (1 - step / steps))
        for group, highest in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = highest * share
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0:
            tell(step, sum(losses) / len(losses))
            losses = []
        if step % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)


def reading_batches(world: World, tokenizer: Any, seed: int, first: int, last: int) -> Iterator[tuple[Any, Any]]:
    """Batches `first` to `last`: ids, and which of them belong to answers; int64 and bool [rows, length]."""
    import torch

    names = [name for name in world.kinds if name not in world.held_out]
    sharing: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for word in name.split():
            sharing[word].append(name)
    step_format = step_format_named("retrieval", plain_template)
    assert isinstance(step_format, RetrievalFormat)
    for place in range(first, last):
        random = Random(f"{seed} {place}")
        rows = [reading_row(world, tokenizer, step_format, names, sharing, random) for _ in range(ROWS)]
        longest = max(len(ids) for ids, _ in rows)
        yield (
            torch.tensor([ids + [tokenizer.pad_token_id] * (longest - len(ids)) for ids, _ in rows]),
            torch.tensor([answers + [False] * (longest - len(answers)) for _, answers in rows]),
        )


def reading_row(
    world: World,
    tokenizer: Any,
    step_format: RetrievalFormat,
    names: list[str],
    sharing: dict[str, list[str]],
    random: Random,
) -> tuple[list[int], list[bool]]:
    """Paragraphs, some of them about names that share a word, and questions about them with their answers."""
    chosen = random.sample(names, random.randint(1, 2))
    chosen += [random.choice(sharing[random.choice(name.split())]) for name in chosen]
    chosen = list(dict.fromkeys(chosen))
    random.shuffle(chosen)
    found = "\n\n".join(shown(world.paragraphs[name]) for name in chosen)
    ids: list[int] = []
    answers: list[bool] = []
    facts = [(subject, *fact) for subject in chosen for fact in world.facts[subject].items()]
    for place, (subject, relation, target) in enumerate(random.sample(facts, min(QUESTIONS, len(facts)))):
        problem = Problem(f"What is the {relation} of {subject}?", kind="qa")
        opening = step_format.opening_of(State(problem, preamble_output=found if place == 0 else ""))
        answer = f"{fact_sentence(subject, relation, target)} So the answer is: {target}.\n"
        read = tokenizer(opening if place == 0 else f"\n{opening}")["input_ids"]
        written = [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        ids += read + written
        answers += [False] * len(read) + [True] * len(written)
    return ids, answers


def save_student(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a checkpoint that `load_policy` loads."""
    model.config.treestar_format = "retrieval"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "generation_config.json", {"eos_token_id": tokenizer.eos_token_id})
