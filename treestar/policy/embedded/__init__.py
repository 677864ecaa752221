"""The policy model that comes with the package: an ordinary Hugging Face folder, and a few problems to try it on."""

from pathlib import Path

__all__ = ["EMBEDDED_POLICIES", "MODEL_PATH", "PROBLEMS_PATH"]

MODEL_PATH: Path = Path(__file__).parent / "model"
"""The folder of `embedded`. Its README.md is the model card; `treestar_format` in its config names its step format."""

EMBEDDED_POLICIES: dict[str, Path] = {"embedded": MODEL_PATH, "embedded-bootstrap": MODEL_PATH}
"""The folders by the names that stand for them. `embedded-bootstrap` stays the policy that teachers taught, from which
self-evolution starts; `embedded` is still the same one, for no evolved policy is good enough yet (docs/embedded.md)."""

PROBLEMS_PATH: Path = Path(__file__).parent / "problems.jsonl"
"""Problems for a first try, one JSON object a line: id, question, answer, family, level."""
