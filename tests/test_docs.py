"""Links between documents, repository paths in them, and the commands and options that they show, exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from treestar.cli.commands import app

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


BASH = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|-m )treestar (.*)$", re.MULTILINE)


def unknown_options(shown: str) -> list[str]:
    """The options of a command line after `treestar` that its command does not have."""
    words, command = shlex.split(shown, comments=True), get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    command = getattr(command, "commands", {}).get("run", command)  # `treestar bench gsm8k`
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    return [word for word in words if re.match("--?[a-z]", word) and word.partition("=")[0] not in known]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_it_shows_have_their_options(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    shown = [line for block in BASH.findall(text) for line in COMMAND.findall(block.replace("\\\n", " "))]
    for line in [*shown, *re.findall(r"`treestar ([^`]+)`", text)]:
        assert unknown_options(line) == [], f"treestar {line}"


def test_an_option_that_does_not_exist_is_found() -> None:
    assert unknown_options("bench gsm8k --out x --sample 4  # --comment") == ["--sample"]
    assert unknown_options("solve q --strategy esc --window 5 --no-distinct") == []


def test_scripts_that_measure_start_nothing_when_asked_for_help() -> None:
    for path in sorted((ROOT / "bench").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "__main__" not in text or "parse_args(" in text, f"{path.name} does not read its command line"
