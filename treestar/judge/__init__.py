"""Judges: language models that reason about a step of a solution before they rule on it (StepWiser)."""

from treestar.judge.load import load_judge
from treestar.judge.prompt import VERDICTS, judge_prompt, verdict_of
from treestar.judge.scorer import JudgeScorer
from treestar.judge.settings import JudgeSettings

__all__ = ["VERDICTS", "JudgeScorer", "JudgeSettings", "judge_prompt", "load_judge", "verdict_of"]
