"""Every example runs, is short, and prints what it promises."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

PRINTS = {
    "solve.py": ["->  43 (right)", "read back from results.jsonl: ['43', "],
    "own_policy.py": ["majority of 16 trajectories: 15 of 20 right"],
    "own_verifier.py": ["mathematical equivalence: 3.164 is wrong", "within 0.2: 3.106 is right"],
    "train_ppm.py": ["preferred: ", "losses: [", "guided by it: "],
    "compare_strategies.py": ["majority, PPM weights", "MCTS, PPM"],
}
ARGUMENTS = {"compare_strategies.py": ["2"]}


@pytest.mark.parametrize("name", PRINTS)
def test_example(name: str, tmp_path: Path) -> None:
    if name == "train_ppm.py" and find_spec("accelerate") is None:
        pytest.skip("needs treestar[train]")
    command = [sys.executable, str(EXAMPLES / name), *ARGUMENTS.get(name, [])]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    for expected in PRINTS[name]:
        assert expected in result.stdout


def test_all_are_here_and_short() -> None:
    files = {path.name: path.read_text(encoding="utf-8").splitlines() for path in EXAMPLES.glob("*.py")}
    assert files.keys() == PRINTS.keys()
    assert all(len(lines) < 60 for lines in files.values())
