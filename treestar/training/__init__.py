"""Trainings: what they share (`run`), supervised fine-tuning of policies (`sft`), and PPMs (`ppm`)."""

from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.ppm.train import train_ppm
from treestar.training.run import TrainingProgress
from treestar.training.sft.train import SFTTrainingConfig, train_policy

__all__ = ["PPMTrainingConfig", "SFTTrainingConfig", "TrainingProgress", "train_policy", "train_ppm"]
