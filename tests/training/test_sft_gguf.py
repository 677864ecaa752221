"""Fine-tuning a base that is a GGUF file gives an ordinary model folder."""

from __future__ import annotations

import json
from pathlib import Path

from support.sft_rows import sum_row
from support.tiny_gguf import save_folder_and_gguf

from treestar.policy import load_policy
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.train import train_policy


def test_a_gguf_file_is_a_base(tmp_path: Path) -> None:
    _, file = save_folder_and_gguf(tmp_path)
    out = tmp_path / "out"
    config = SFTTrainingConfig(learning_rate=3e-3, batch_size=2, epochs=8, step_format="rstar")
    report = train_policy([sum_row(3), sum_row(70)], str(file), out, config)
    losses = [loss for _, loss in report["losses"]]
    assert losses[-1] < losses[0]
    saved = json.loads((out / "config.json").read_text())
    assert saved["treestar_format"] == "rstar"
    assert "quantization_config" not in saved
    policy = load_policy(str(out))
    assert policy.format.name == "rstar"
    assert policy.tokenizer.tokenize("\n\n12") == ["ĊĊ", "1", "2"]
    assert policy.model.generation_config.eos_token_id == 2
