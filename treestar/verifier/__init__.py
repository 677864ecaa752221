"""Checks final answers: mathematical equivalence, answer extraction, and sandboxed execution."""

from treestar.verifier.grading.answers import AnswerVerifier, equivalent, extract_answer

__all__ = ["AnswerVerifier", "equivalent", "extract_answer"]
