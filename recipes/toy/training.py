"""Train a small Llama from scratch: batches of similar length, Muon and AdamW on fp32 masters, a token budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

__all__ = ["ModelShape", "Tokenized", "TrainingConfig", "TrainingLog", "draw_batches", "new_model", "train"]

DRAWN = 8192
"""Examples drawn at a time, which are sorted by length and cut into batches."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The Llama's size. The default has 5.2 million parameters."""

    layers: int = 6
    width: int = 256
    heads: int = 4
    feed_forward: int = 704
    positions: int = 1024
    """`max_position_embeddings`: the longest prompt and solution together, in tokens."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a policy is trained from scratch."""

    tokens: int
    """The budget: the run ends after this many tokens, padding excluded."""
    batch_tokens: int = 24_576
    """Tokens per batch, padding included."""
    matrix_rate: float = 4e-3
    """Muon's learning rate, for the matrices."""
    other_rate: float = 2e-3
    """AdamW's learning rate, for the embeddings and the norms."""
    weight_decay: float = 0.01
    warmup: float = 0.01
    """Share of the budget in which the learning rate rises from 0."""
    cooldown: float = 0.45
    """Share of the budget at its end in which the learning rate falls to 0."""
    longest_offset: int = 200
    """Positions start at random between 0 and this, so that the positions of long solutions are trained as well."""
    longest_gap: int = 0
    """Positions skip ahead by up to this where the caller of `train` allows it. A policy that can rely on distances
    copies the word at a certain distance, and fails on problems longer than taught; with skips it relies on names."""
    threads: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tokenized:
    """One example as token ids."""

    ids: Sequence[int]
    prompt: int
    """Length of the prompt, on which there is no loss."""
    names: int
    """Number of names it uses, starting at n0."""


@dataclass(slots=True)
class TrainingLog:
    """The log of a run."""

    device: str = ""
    """The GPU's name, or "CPU"."""
    steps: int = 0
    tokens: int = 0
    """Tokens of the examples, padding left out."""
    seconds: float = 0.0
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, seconds, mean loss since the last entry)."""


def new_model(shape: ModelShape, vocabulary: int, end_token: int, seed: int) -> Any:
    """A Llama with random weights and tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end_token,
        pad_token_id=end_token,
        initializer_range=0.02,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def train(
    model: Any,
    cells: Mapping[tuple[str, str], Sequence[Tokenized]],
    weights: Mapping[tuple[str, str], float],
    first_name: int,
    name_count: int,
    config: TrainingConfig,
    report: Callable[[TrainingLog, Any], None] | None = None,
    leaps_after: Sequence[int] = (),
) -> TrainingLog:
    """Train `model` in place, on a GPU where available; it ends on the CPU and in bf16.

    Args:
        cells: the examples of each cell.
        weights: how often a cell is drawn, relative to the others.
        first_name: token id of the name n0; the ids of the other names follow.
        name_count: how many names there are.
        report: called about every 20 seconds with the log so far and the model.
        leaps_after: token ids after which positions skip ahead (`TrainingConfig.longest_gap`).
    """
    import torch
    import torch.nn.functional as functional

    torch.set_num_threads(config.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device, torch.bfloat16).train()
    usual_attention = model.config._attn_implementation
    model.set_attn_implementation(short_attention())
    live = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # bf16 weights lose updates smaller than 1/256 of their size; the fp32 copies keep them.
    masters = [parameter.detach().float().clone() for parameter in live]
    optimizers = make_optimizers(model, live, masters, config)
    batches = draw_batches(cells, weights, first_name, name_count, config, leaps_after)
    log = TrainingLog(torch.cuda.get_device_name() if device.type == "cuda" else "CPU")
    begin = time.monotonic()
    recent: list[Any] = []
    last_report = begin
    while (progress := log.tokens / config.tokens) < 1.0:
        *tensors, real = next(batches)
        ids, labels, positions = (tensor.to(device, non_blocking=True) for tensor in tensors)
        hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        taught = labels != -100
        logits = model.lm_head(hidden[taught])
        loss = functional.cross_entropy(logits.float(), labels[taught])
        torch.autograd.backward(loss)
        for parameter, master in zip(live, masters, strict=True):
            master.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule(progress, config)
            optimizer.step()
        with torch.no_grad():
            for parameter, master in zip(live, masters, strict=True):
                parameter.copy_(master)
        recent.append(loss.detach())
        log.steps += 1
        log.tokens += real
        now = time.monotonic()
        log.seconds = now - begin
        if report is not None and now - last_report > 20:
            log.losses.append((log.steps, log.seconds, torch.stack(recent).mean().item()))
            recent, last_report = [], now
            report(log, model)
    if recent:
        log.losses.append((log.steps, log.seconds, torch.stack(recent).mean().item()))
    model.set_attn_implementation(usual_attention)
    model.cpu().eval()
    return log


def draw_batches(
    cells: Mapping[tuple[str, str], Sequence[Tokenized]],
    weights: Mapping[tuple[str, str], float],
    first_name: int,
    name_count: int,
    config: TrainingConfig,
    leaps_after: Sequence[int],
) -> Iterator[tuple[Any, Any, Any, int]]:
    """Endless batches: ids, labels (-100: no loss) and positions, all int64 [rows, length], and the number of tokens
    without padding. A position is at most the sum of offset, length and skips; RoPE has no upper limit."""
    import torch

    random = Random(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    keys = list(cells)
    shares = [weights[key] for key in keys]
    leaping = torch.tensor(leaps_after, dtype=torch.long)
    while True:
        drawn = [random.choice(cells[key]) for key in random.choices(keys, shares, k=DRAWN)]
        drawn.sort(key=lambda example: len(example.ids) + random.random() * 8)
        for rows in shuffled(grouped(drawn, config.batch_tokens), random):
            lengths = torch.tensor([[len(row.ids)] for row in rows])
            prompts = torch.tensor([[row.prompt] for row in rows])
            shifts = torch.tensor([[random.randint(0, name_count - row.names)] for row in rows])
            offsets = torch.tensor([[random.randint(0, config.longest_offset)] for _ in rows])
            ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True)
            ids = torch.where((ids >= first_name) & (ids < first_name + name_count), ids + shifts, ids)
            places = torch.arange(ids.shape[1])
            labels = ids.roll(-1, 1).masked_fill((places < prompts - 1) | (places >= lengths - 1), -100)
            leaps = position_leaps(torch.isin(ids, leaping), config.longest_gap, generator)
            yield ids, labels, offsets + places + leaps.cumsum(1) - leaps, int(lengths.sum())


def position_leaps(places: Any, longest: int, generator: Any) -> Any:
    """How far positions skip ahead after each place: int64 [rows, length], 0 to `longest` where `places` is true.

    A quarter of the rows, drawn at random, has no skips, as at inference; each other row has its own maximum.
    """
    import torch

    drawn = torch.rand(len(places), 1, generator=generator)
    most = ((drawn * 4 - 1).clamp(min=0) / 3 * (longest + 1)).floor()
    return (torch.rand(places.shape, generator=generator) * (most + 1)).long() * places


def grouped(drawn: Sequence[Tokenized], batch_tokens: int) -> list[list[Tokenized]]:
    """Examples sorted by length, cut into batches of about `batch_tokens` tokens each, padding included."""
    groups: list[list[Tokenized]] = [[]]
    for example in drawn:
        if (len(groups[-1]) + 1) * len(example.ids) > batch_tokens and groups[-1]:
            groups.append([])
        groups[-1].append(example)
    return groups


def shuffled(groups: list[list[Tokenized]], random: Random) -> list[list[Tokenized]]:
    random.shuffle(groups)
    return groups


def short_attention() -> str:
    """The name of a causal attention without a mask, so that skipped positions are not mistaken for packed rows.

    On a CPU it is plain matrix products: on short sequences its backward pass takes a third of the fused kernel's time
    there (a fifth of a whole step).
    """
    import torch
    from transformers import AttentionInterface

    def attend(_module: Any, query: Any, key: Any, value: Any, _mask: Any = None, scaling: float = 1.0, **_: Any
               ) -> tuple[Any, None]:  # fmt: skip
        if query.is_cuda:
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
        else:
            length = query.shape[2]
            future = torch.full((length, length), float("-inf"), dtype=query.dtype).triu(1)
            mixed = torch.softmax(query @ key.transpose(-1, -2) * scaling + future, -1) @ value
        return mixed.transpose(1, 2).contiguous(), None

    AttentionInterface.register("treestar_short", attend)
    return "treestar_short"


def make_optimizers(
    model: Any, live: Sequence[Any], masters: Sequence[Any], config: TrainingConfig
) -> list[tuple[Any, float]]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms, each with its full learning rate."""
    import torch

    embedding = model.get_input_embeddings().weight
    is_matrix = [parameter.ndim == 2 and parameter is not embedding for parameter in live]
    matrices = [master for master, matrix in zip(masters, is_matrix, strict=True) if matrix]
    others = [master for master, matrix in zip(masters, is_matrix, strict=True) if not matrix]
    muon = torch.optim.Muon(
        matrices, lr=config.matrix_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(others, lr=config.other_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return [(muon, config.matrix_rate), (adam, config.other_rate)]


def schedule(progress: float, config: TrainingConfig) -> float:
    """The factor of the learning rate: rises, stays, and falls to 0 along a half cosine at the end."""
    if progress < config.warmup:
        return progress / config.warmup
    left = (1.0 - progress) / config.cooldown
    return 1.0 if left >= 1.0 else 0.5 - 0.5 * math.cos(math.pi * left)
