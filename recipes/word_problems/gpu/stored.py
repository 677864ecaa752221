"""What is kept: adapters that peft and treestar read, and samples."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from recipes.word_problems.gpu.llama import MATRICES, Adapter
from recipes.word_problems.gpu.teach import Question
from treestar.policy.load import CALIBRATIONS_KEY
from treestar.storage.files import read_json, write_json
from treestar.types import TreestarError

__all__ = ["Drawn", "read_adapter", "read_samples", "save_adapter", "write_samples"]

PREFIX = "base_model.model."

Drawn = tuple[Question, Counter[str]]
"""A question, and its programs with how often each was drawn."""


def save_adapter(adapter: Adapter, base: str, config: Path, out: Path, head: torch.Tensor | None = None) -> None:
    """Write a folder for peft.

    Args:
        base: the name of the model that the adapter changes, wherever it is loaded.
        config: the config.json of such a policy or PPM.
        head: of a PPM.
    """
    from peft import LoraConfig

    tensors = {}
    for name, (up, down) in adapter.factors.items():
        module = PREFIX + name.removesuffix(".weight")
        tensors[f"{module}.lora_A.weight"] = down.detach().cpu().contiguous()
        tensors[f"{module}.lora_B.weight"] = up.detach().cpu().contiguous()
    if head is not None:
        tensors[f"{PREFIX}score.weight"] = head.detach().cpu()[None].contiguous()
    rank = len(next(iter(adapter.factors.values()))[1])
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "adapter_model.safetensors")
    LoraConfig(
        base_model_name_or_path=base,
        task_type="CAUSAL_LM" if head is None else "SEQ_CLS",
        r=rank,
        lora_alpha=adapter.scale * rank,
        target_modules=sorted(MATRICES),
        modules_to_save=None if head is None else ["score"],
        inference_mode=True,
    ).save_pretrained(out)
    # Another policy's confidence means something else.
    write_json(
        out / "config.json", {name: value for name, value in read_json(config).items() if name != CALIBRATIONS_KEY}
    )


def read_adapter(folder: Path, share: float, device: torch.device) -> Adapter:
    """The adapter of a policy that `save_adapter` wrote.

    Args:
        share: of its change that is kept, as in `float8.store_in_float8`.
    """
    settings = read_json(folder / "adapter_config.json")
    tensors = load_file(folder / "adapter_model.safetensors")
    modules = sorted({name.rpartition(".lora_")[0] for name in tensors if ".lora_" in name})
    factors = {}
    for module in modules:
        up, down = (tensors[f"{module}.lora_{letter}.weight"].to(device) for letter in "BA")
        factors[f"{module.removeprefix(PREFIX)}.weight"] = (up.requires_grad_(), down.requires_grad_())
    return Adapter(factors, share * settings["lora_alpha"] / settings["r"])


def write_samples(file: Path, drawn: Sequence[Drawn], scored: Sequence[Mapping[str, float]] | None = None) -> None:
    """Write a line for each question, with its programs and, if they are given, the PPM's scores of them.

    A file that is there is complete: it is written under another name first.
    """
    part = file.with_name(f"{file.name}.part")
    with gzip.open(part, "wt") as lines:
        for place, (question, programs) in enumerate(drawn):
            row = {"id": question.id, "source": question.source, "answer": question.answer, "programs": programs}
            if scored is not None:
                row["scores"] = {text: round(score, 5) for text, score in scored[place].items()}
            lines.write(json.dumps(row) + "\n")
    part.replace(file)


def read_samples(file: Path, questions: Sequence[Question]) -> list[Drawn]:
    """The programs that `write_samples` wrote.

    Raises:
        TreestarError: one of their questions is not in `questions`.
    """
    by_id = {question.id: question for question in questions}
    drawn = []
    with gzip.open(file, "rt") as lines:
        for row in map(json.loads, lines):
            if row["id"] not in by_id:
                raise TreestarError(
                    f"{file} has programs for the question {row['id']!r}, which is not in the data: use the data that "
                    "they were drawn with, or delete the file to draw new ones"
                )
            drawn.append((by_id[row["id"]], Counter(row["programs"])))
    return drawn
