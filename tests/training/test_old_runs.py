"""A training started by version 0.1 is resumed: its training.json has the same settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.ppm_trees import telling_tree
from support.sft_rows import sum_row
from support.tiny_model import save_tiny_model

from treestar.training import PPMTrainingConfig, SFTTrainingConfig, train_policy, train_ppm

SHARED = {
    "epochs": 2.0,
    "optimizer": "adamw",
    "learning_rate": None,
    "warmup": 0.05,
    "accumulation": 1,
    "seed": 0,
    "bf16": False,
    "gradient_checkpointing": False,
    "save_steps": 1,
    "report_to": "none",
    "training_arguments": {},
    "processes": 1,
}
SFT = SHARED | {
    "batch_size": 2,
    "max_length": 4096,
    "packing": False,
    "move_names": True,
    "step_format": None,
    "lora": None,
}
PPM = SHARED | {
    "objective": "pairs",
    "minimum_margin": 0.0,
    "centering": 0.1,
    "held_out": 0.1,
    "batch_tokens": 300,
}


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["sft", "ppm"])
def test_a_training_of_version_0_1_is_resumed(tmp_path: Path, kind: str) -> None:
    base, out = str(save_tiny_model(tmp_path / "base", treestar_format="rstar")), tmp_path / "out"

    def train(**options: Any) -> dict[str, Any]:
        if kind == "sft":
            config = SFTTrainingConfig(batch_size=2, save_steps=1)
            return train_policy([sum_row(number) for number in range(4)], base, out, config, **options)
        settings = PPMTrainingConfig(epochs=2.0, batch_tokens=300, save_steps=1)
        return train_ppm([telling_tree(number) for number in range(4)], base, out, settings, **options)

    def kill(progress: Any) -> None:
        if progress.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(on_progress=kill)
    begun = json.loads((out / "training.json").read_text())
    begun["settings"] = {"base": base, **SFT} if kind == "sft" else {"policy": base, **PPM}
    (out / "training.json").write_text(json.dumps(begun))
    assert train(resume=True)["resumed_from"] == "checkpoint-1"
