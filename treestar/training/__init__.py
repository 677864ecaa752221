"""Trainings: supervised fine-tuning of policies (`sft`), process preference models (`ppm`), stepwise distillation
(`distill`), which trains through `sft`, reinforcement learning of policies (`grpo`), and of judges (`judge`), which
trains through `sft` and `grpo`.

A new training is a folder next to these, with the same files:

    config.py    a dataclass that extends `run.FineTuningConfig` or `run.OptimizationConfig`
    data.py      trees or rows to tensors; determines how often each item is used, and has a `fingerprint`. (`grpo`
                 samples its data: `rollouts.py`, `groups.py`, `sampling.py`)
    trainer.py   a subclass of `transformers.Trainer` (or of one of TRL's) that computes the loss
    train.py     one function that checks `out`, prepares the data, and calls `run.train`

They share the modules in this folder: `run` (settings, the output folder), `checkpoints` (what an interrupted run is
resumed from), `trainer` (progress reports, a loss that must be finite), `base_policy` (the policy that a training
starts from), `order` (orders and draws that a resumed run repeats), `muon` (an optimizer), and `launch` (starting a
training in several processes).
The command is a function in `cli/train.py`.
"""

from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.train import train_grpo
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.ppm.train import train_ppm
from treestar.training.run import TrainingProgress
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.data import SFTRow
from treestar.training.sft.train import train_policy

__all__ = [
    "GRPOConfig",
    "PPMTrainingConfig",
    "SFTRow",
    "SFTTrainingConfig",
    "TrainingProgress",
    "train_grpo",
    "train_policy",
    "train_ppm",
]
