"""The policy models that come with the package, ordinary Hugging Face folders, and a few problems to try them on."""

from pathlib import Path

__all__ = ["EMBEDDED_POLICIES", "MODEL_PATH", "PROBLEMS_PATH"]

MODEL_PATH: Path = Path(__file__).parent / "model"
"""The folder of `embedded`. Its README.md is the model card; `treestar_format` in its config names its step format."""

EMBEDDED_POLICIES: dict[str, Path] = {"embedded": MODEL_PATH, "embedded-bootstrap": MODEL_PATH.with_name("bootstrap")}
"""The folders by the names that stand for them. `embedded` is what self-evolution made (docs/embedded.md) of
`embedded-bootstrap`, the policy that teachers taught."""

PROBLEMS_PATH: Path = Path(__file__).parent / "problems.jsonl"
"""Problems for a first try, one JSON object a line: id, question, answer, family, level."""
