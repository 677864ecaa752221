"""Samples of whole programs for thousands of questions at a time, on one GPU.

Prompts stand on the right, so that all rows write to the same column, and a step is one replayed CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import unflatten
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention

from recipes.word_problems.gpu.llama import Shape, Weights, after_attention, before_attention, layer_weights, rotation

__all__ = ["LONGEST_PROMPT", "Marks", "Sampler"]

WAIT = 16
"""After so many tokens it is looked whether all rows have ended."""

COLUMNS = 32
"""Prompts are padded to a multiple of this."""

LONGEST_PROMPT = 224
"""Tokens."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The tokens that matter: a step ends with `step` `close`, a program with `code` `close`, then comes `line`."""

    step: int
    code: int
    close: int
    line: int
    padding: int

    @classmethod
    def of(cls, tokenizer: Any) -> Marks:
        def only(text: str) -> int:
            [token] = tokenizer(text, add_special_tokens=False)["input_ids"]
            return int(token)

        return cls(only("step"), only("code"), only(">"), only("\n"), tokenizer.pad_token_id)


class Sampler:
    """Draws continuations with changing weights: the graphs read them where they are.

    Args:
        weights: are copied; `load` replaces their contents.
        longest: maximum number of tokens in a continuation.
        rows: maximum number of continuations at a time.
    """

    def __init__(self, weights: Weights, shape: Shape, marks: Marks, longest: int, rows: int) -> None:
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}
        self.shape, self.marks, self.longest, self.rows = shape, marks, longest, rows
        self.device = self.weights["model.norm.weight"].device
        one = shape.layers * shape.key_heads * (LONGEST_PROMPT + longest) * shape.width
        # All graphs use the same memory, one after the other.
        self.memory = self.weights["model.norm.weight"].new_zeros(2, rows * one)
        self.graphs: dict[tuple[int, int, float], Decoding] = {}

    @torch.no_grad()
    def load(self, weights: Weights) -> None:
        """Use these weights from now on."""
        for name, weight in weights.items():
            self.weights[name].copy_(weight)

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], count: int, temperature: float) -> list[list[int]]:
        """`count` continuations of every prompt, those of a prompt together; each ends with the program's end, or at
        the maximum length.

        Args:
            temperature: 0 for the most likely tokens.

        Raises:
            ValueError: `count` is more than the rows.
        """
        if count > self.rows:
            raise ValueError(f"{count} continuations of a prompt do not fit into {self.rows} rows")
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        found: list[list[int]] = [[] for _ in range(len(prompts) * count)]
        at_once = self.rows // count
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            filled = [prompts[index] for index in part] + [prompts[part[0]]] * (at_once - len(part))
            drawn = self.draw(filled, count, temperature)
            for place, index in enumerate(part):
                found[index * count : (index + 1) * count] = drawn[place * count : (place + 1) * count]
        return found

    def draw(self, prompts: Sequence[Sequence[int]], count: int, temperature: float) -> list[list[int]]:
        """The same for as many prompts as fit into the rows."""
        columns = -(-max(map(len, prompts)) // COLUMNS) * COLUMNS
        rows = len(prompts) * count
        key = (rows, columns, temperature)
        if key not in self.graphs:
            self.graphs[key] = Decoding(self, rows, columns, temperature)
        return self.graphs[key].run(prompts, count)


class Decoding:
    """The buffers and the graph for one number of rows, one length of prompts and one temperature."""

    def __init__(self, sampler: Sampler, rows: int, columns: int, temperature: float) -> None:
        shape, device = sampler.shape, sampler.device
        self.sampler, self.columns, self.temperature = sampler, columns, temperature
        size = (shape.layers, rows, shape.key_heads, columns + sampler.longest, shape.width)
        self.keys, self.values = (memory[: prod(size)].view(size) for memory in sampler.memory.unbind())
        self.starts = torch.zeros(rows, dtype=torch.long, device=device)
        self.column = torch.zeros(1, dtype=torch.long, device=device)
        """Of the token that is read next."""
        self.last = torch.zeros(rows, dtype=torch.long, device=device)
        self.before_last = torch.zeros(rows, dtype=torch.long, device=device)
        self.ended = torch.zeros(rows, dtype=torch.bool, device=device)
        self.written = torch.zeros(rows, sampler.longest, dtype=torch.long, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, prompts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
        """`count` continuations of every prompt; together they are as many as the rows."""
        self.read(prompts, count)
        if self.graph is None and self.sampler.device.type == "cuda":
            self.graph = self.capture()
            # The steps before the capture have written to the buffers.
            self.read(prompts, count)
        for number in range(self.sampler.longest):
            if self.graph is not None:
                self.graph.replay()
            else:
                self.step()
            if number % WAIT == WAIT - 1 and bool(self.ended.all()):
                break
        padding = self.sampler.marks.padding
        rows = self.written.tolist()
        return [row[: row.index(padding)] if padding in row else row for row in rows]

    def capture(self) -> torch.cuda.CUDAGraph:
        """A step as a graph. CUDA asks for a few real ones before, on a stream of their own."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph

    def read(self, prompts: Sequence[Sequence[int]], count: int) -> None:
        """Begin: fill the columns of the prompts up to their last token, which the first step reads again."""
        sampler, shape = self.sampler, self.sampler.shape
        ids = torch.full((len(prompts), self.columns), sampler.marks.padding)
        for row, prompt in enumerate(prompts):
            ids[row, self.columns - len(prompt) :] = torch.tensor(prompt)
        ids = ids.to(sampler.device)
        starts = torch.tensor([self.columns - len(prompt) for prompt in prompts], device=sampler.device)
        places = torch.arange(self.columns, device=sampler.device)
        turn = rotation((places - starts[:, None]).clamp_min(0).flatten(), shape)
        seen = (places[None, :] <= places[:, None])[None] & (places[None, None, :] >= starts[:, None, None])
        # Padding sees itself, as a softmax over nothing is not a number.
        seen |= torch.eye(self.columns, dtype=torch.bool, device=sampler.device)
        states = sampler.weights["model.embed_tokens.weight"][ids.flatten()]
        for index in range(shape.layers):
            layer = layer_weights(sampler.weights, index)
            queries, keys, values = (
                unflatten(each, 0, ids.shape).transpose(1, 2) for each in before_attention(states, layer, turn, shape)
            )
            self.keys[index, :, :, : self.columns] = keys.repeat_interleave(count, 0)
            self.values[index, :, :, : self.columns] = values.repeat_interleave(count, 0)
            groups = shape.heads // shape.key_heads
            keys, values = (each.repeat_interleave(groups, 1) for each in (keys, values))
            attended = scaled_dot_product_attention(queries, keys, values, attn_mask=seen[:, None])
            states = after_attention(states, attended.transpose(1, 2).flatten(0, 1), layer, shape)
        self.starts.copy_(starts.repeat_interleave(count))
        self.last.copy_(ids[:, -1].repeat_interleave(count))
        self.before_last.copy_(ids[:, -2].repeat_interleave(count))
        self.column.fill_(self.columns - 1)
        self.written.fill_(sampler.marks.padding)
        self.ended.zero_()

    def step(self) -> None:
        """Read the last token of every row and draw the next one."""
        sampler, shape, marks = self.sampler, self.sampler.shape, self.sampler.marks
        turn = rotation(self.column - self.starts, shape)
        places = torch.arange(self.keys.shape[3], device=sampler.device)
        seen = (places <= self.column) & (places >= self.starts[:, None])
        mask = torch.zeros(seen.shape, device=sampler.device).masked_fill(~seen, float("-inf"))
        states = sampler.weights["model.embed_tokens.weight"][self.last]
        for index in range(shape.layers):
            layer = layer_weights(sampler.weights, index)
            queries, keys, values = before_attention(states, layer, turn, shape)
            self.keys[index].index_copy_(2, self.column, keys[:, :, None])
            self.values[index].index_copy_(2, self.column, values[:, :, None])
            # A key's head serves a group of queries: shape (rows, key_heads, group, columns).
            grouped = unflatten(queries, 1, (shape.key_heads, -1))
            scores = (grouped @ self.keys[index].transpose(-1, -2)).float() / shape.width**0.5
            shares = (scores + mask[:, None, None]).softmax(-1).to(states.dtype)
            attended = (shares @ self.values[index]).flatten(1, 2)
            states = after_attention(states, attended, layer, shape)
        states = rms_norm(states, states.shape[-1:], sampler.weights["model.norm.weight"], shape.epsilon)
        logits = linear(states, sampler.weights["model.embed_tokens.weight"])
        if self.temperature > 0:
            # The largest of p / e, e exponential, is a draw from p.
            chances = (logits.float() / self.temperature).softmax(-1)
            drawn = (chances / torch.empty_like(chances).exponential_()).argmax(-1)
        else:
            drawn = logits.argmax(-1)
        # Between two steps the prompt has a line break that the policy does not write.
        after_step = (self.before_last == marks.step) & (self.last == marks.close)
        drawn = drawn.masked_fill(after_step, marks.line)
        drawn = drawn.masked_fill(self.ended, marks.padding)
        self.written.index_copy_(1, self.column - (self.columns - 1), drawn[:, None])
        self.ended |= (self.last == marks.code) & (drawn == marks.close)
        self.before_last.copy_(self.last)
        self.last.copy_(drawn)
        self.column += 1
