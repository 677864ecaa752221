"""The policy model that comes with the package: an ordinary Hugging Face folder, and a few problems to try it on."""

from pathlib import Path

__all__ = ["MODEL_PATH", "PROBLEMS_PATH"]

MODEL_PATH: Path = Path(__file__).parent / "model"
"""The model's folder. Its README.md is the model card; `treestar_format` in its config names its step format."""

PROBLEMS_PATH: Path = Path(__file__).parent / "problems.jsonl"
"""Problems for a first try, one JSON object a line: id, question, answer, family, level."""
