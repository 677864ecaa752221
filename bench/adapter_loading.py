"""Seconds to merge the adapters of the default policy with their base at load: as treestar does, and by peft, in turns.

    treestar models fetch smollm2-135m
    python bench/adapter_loading.py [--policy embedded] [--repeats 7]

Both begin with the same base in float32, read anew for each repeat, and end with equal weights, which is checked.

Writes bench/results/adapter_loading.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from treestar.policy.models import load_causal_model, policy_path
from treestar.policy.models.adapter import base_of, is_adapter, merged, merged_by_peft
from treestar.storage.record import write_record


def chain(path: str) -> list[str]:
    """The base of the adapter at `path`, then all adapters in the order in which they are merged."""
    return [*chain(base_of(path)), path] if is_adapter(path) else [path]


def merge(path: str, add: Callable[[Any, str], Any]) -> tuple[float, Any]:
    """The seconds that merging took without reading the base, and the model."""
    base, *adapters = chain(path)
    model = load_causal_model(base, dtype=torch.float32)
    started = time.perf_counter()
    for adapter in adapters:
        model = add(model, adapter)
    return time.perf_counter() - started, model


def equal(one: Any, other: Any) -> bool:
    expected = other.state_dict()
    return all(torch.equal(weight, expected[name]) for name, weight in one.state_dict().items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare how adapters are merged.")
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    path = policy_path(given.policy)
    ours, peft = [], []
    for _ in range(given.repeats + 1):
        ours_seconds, one = merge(path, merged)
        peft_seconds, other = merge(path, merged_by_peft)
        assert equal(one, other)
        ours.append(ours_seconds)
        peft.append(peft_seconds)
    ratios = [slow / fast for slow, fast in zip(peft, ours, strict=True)]
    figures = {
        name: {"min": min(values), "median": statistics.median(values), "max": max(values)}
        for name, values in (("treestar", ours[1:]), ("peft", peft[1:]), ("peft over treestar", ratios[1:]))
    }
    for name, row in figures.items():
        print(name, {each: round(value, 2) for each, value in row.items()})
    write_record(
        Path(__file__).parent / "results" / "adapter_loading.json",
        {**figures, "adapters": {"merged": len(chain(path)) - 1}, "threads": {"torch": torch.get_num_threads()}},
        seed=0,
        command=f"python bench/adapter_loading.py --policy {given.policy} --repeats {given.repeats}",
    )


if __name__ == "__main__":
    main()
