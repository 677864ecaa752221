"""The policy models that come with the package, as ordinary Hugging Face folders, and a few problems to try them on."""

from pathlib import Path

__all__ = ["EMBEDDED_POLICIES", "MODEL_PATH", "PROBLEMS_PATH"]

MODEL_PATH: Path = Path(__file__).parent / "model"
"""The folder of `embedded`. Its README.md is the model card; `treestar_format` in its config names its step format."""

EMBEDDED_POLICIES: dict[str, Path] = {"embedded": MODEL_PATH, "embedded-bootstrap": Path(__file__).parent / "bootstrap"}
"""The folders by the names that stand for them. Self-evolution made `embedded` of `embedded-bootstrap`."""

PROBLEMS_PATH: Path = Path(__file__).parent / "problems.jsonl"
"""Problems for a first try, one JSON object a line: id, question, answer, family, level."""
