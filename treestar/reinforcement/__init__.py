"""Reinforcement learning jobs: a policy, its problems and how it learns, from a YAML file to a report with a curve."""

from treestar.reinforcement.job import GRPOJob, load_grpo_job
from treestar.reinforcement.judge_job import JudgeJob, load_judge_job
from treestar.reinforcement.judge_run import run_judge_job
from treestar.reinforcement.run import run_grpo_job

__all__ = ["GRPOJob", "JudgeJob", "load_grpo_job", "load_judge_job", "run_grpo_job", "run_judge_job"]
