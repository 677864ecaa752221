"""Small files in the layout of ProcessBench and PRMBench."""

import json
from pathlib import Path
from typing import Any

__all__ = ["write_prmbench", "write_processbench"]


def write_processbench(folder: Path, subset: str = "gsm8k", count: int = 400) -> Path:
    """A file in the layout of ProcessBench: the solution n is wrong at step n % 3, or right."""
    rows = [
        {"id": f"{subset}-{n}", "question": f"{n}?", "steps": ["a", "b", "c"], "label": n % 3 if n % 2 else -1}
        for n in range(count)
    ]
    path = folder / f"processbench_{subset}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prmbench_row(name: str, wrong: list[int]) -> dict[str, Any]:
    texts = {"modified_question": "1 + 1?", "question": "not read", "modified_process": ["a", "b", "c"]}
    return {"classification": name, "error_steps": wrong, **texts}


def write_prmbench(folder: Path) -> Path:
    rows = [prmbench_row("circular", [2]), prmbench_row("counterfactual", [1, 3, 9])]
    rows += [prmbench_row("multi_solutions", []), prmbench_row("circular", [])]
    path = folder / "prmbench.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
