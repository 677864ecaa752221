"""Every example runs, is short, and prints what it promises."""

import runpy
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
SLOW = {"train_ppm.py", "compare_strategies.py"}
ARGUMENTS = {"compare_strategies.py": ["1"]}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PRINTS])
def test_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "train_ppm.py" and find_spec("accelerate") is None:
        pytest.skip("needs treestar[train]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *ARGUMENTS.get(name, [])])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr().out
    for expected in PRINTS[name]:
        assert expected in printed


def test_all_are_here_and_short() -> None:
    files = {path.name: path.read_text(encoding="utf-8").splitlines() for path in EXAMPLES.glob("*.py")}
    assert files.keys() == PRINTS.keys()
    assert all(len(lines) < 60 for lines in files.values())
