"""Preference pairs as a `datasets` Dataset in TRL's preference format, and as a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.extras import needs_extra
from treestar.policy.formats import StepFormat
from treestar.ppm.encoding import segments
from treestar.ppm.pairs import Pair

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["COLUMNS", "pairs_dataset", "row_of", "write_pairs"]

COLUMNS = {
    "prompt": "string",
    "chosen": "string",
    "rejected": "string",
    "q_chosen": "float64",
    "q_rejected": "float64",
    "step": "int64",
    "source": "string",
    "problem_id": "string",
    "group": "string",
    "weight": "float64",
}


def pairs_dataset(pairs: Sequence[Pair], step_format: StepFormat) -> Dataset:
    """`pairs` as a data set with one row per pair, in the same order.

    `prompt` is the question and the shared steps, `chosen` and `rejected` are the rest: prompt + chosen is the text
    that the PPM reads. TRL's RewardTrainer and DPOTrainer accept the three without changes.

    Raises:
        TreestarError: the package datasets is not installed, or a step changes the text before it (`segments`).
    """
    try:
        from datasets import Dataset, Features, Value
    except ImportError as error:
        raise needs_extra("a data set of pairs", "train") from error
    rows = [row_of(pair, step_format) for pair in pairs]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    return Dataset.from_dict(columns, features=Features({name: Value(dtype) for name, dtype in COLUMNS.items()}))


def row_of(pair: Pair, step_format: StepFormat) -> dict[str, Any]:
    shared = len(pair.prefix.steps) + 1  # the problem itself is the first segment
    chosen, rejected = segments(step_format, pair.chosen), segments(step_format, pair.rejected)
    return {
        "prompt": "".join(chosen[:shared]),
        "chosen": "".join(chosen[shared:]),
        "rejected": "".join(rejected[shared:]),
        "q_chosen": pair.q_chosen,
        "q_rejected": pair.q_rejected,
        "step": pair.step,
        "source": pair.source,
        "problem_id": pair.problem.id,
        "group": pair.group,
        "weight": pair.weight,
    }


def write_pairs(dataset: Dataset, path: str | Path) -> None:
    """Write a data set of pairs as a Parquet file. Raises OSError if it cannot be written."""
    import pyarrow.parquet

    pyarrow.parquet.write_table(dataset.with_format("arrow")[:], path)
