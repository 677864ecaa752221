"""Checks final answers: extraction from replies, mathematical equivalence, text match, unit tests, and rewards."""

from treestar.verifier.grading.answers import AnswerVerifier, equivalent, extract_answer
from treestar.verifier.rewards import accuracy_metric, accuracy_reward, question_reward

__all__ = ["AnswerVerifier", "accuracy_metric", "accuracy_reward", "equivalent", "extract_answer", "question_reward"]
