"""Links between documents, and repository paths in them, exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if not path.name.endswith("report.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/README.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:treestar|tests|bench|docs|examples|recipes)/[\w/.-]+\.(?:py|json|md|png)|[\w/-]+/)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_it_names_exists(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        assert (document.parent / target).exists(), f"link to {target}"
    for path in PATH.findall(text):
        if path.split("/")[0] in {"treestar", "tests", "bench", "docs", "examples", "recipes"}:
            assert (ROOT / path).exists(), f"path {path}"


def test_documents_that_the_code_names_exist() -> None:
    for folder in ("treestar", "bench", "recipes", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"
