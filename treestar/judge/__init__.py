"""Judges: language models that reason about a step of a solution before they rule on it (StepWiser)."""

from treestar.judge.prompt import VERDICTS, judge_prompt, verdict_of

__all__ = ["VERDICTS", "judge_prompt", "verdict_of"]
