"""The checkpoints of an interrupted training: which one it continues from, and whether that one is complete.

Transformers begins with a new optimizer where a checkpoint has none, and says nothing. Here, that is an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from treestar.storage.files import read_object
from treestar.types import TreestarError, first_line

__all__ = ["check_complete", "continuing", "last_checkpoint", "tell_unfinished"]

STATE = "trainer_state.json"
OPTIMIZERS = ("optimizer.pt", "optimizer.bin", "optimizer_*/*")
"""Of a model that every process has as a whole; of one in shards (FSDP), as a whole and in shards."""
DEEPSPEED = "latest"
"""Names the folder with everything that DeepSpeed stores itself, the optimizer and the scheduler among it."""


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint: the trainer writes its state last, and can be killed before."""
    complete = [folder for folder in checkpoints(out) if read_object(folder / STATE) is not None]
    return max(complete, key=step_of, default=None)


def tell_unfinished(out: Path, chosen: Path | None) -> None:
    """Warn of checkpoints that are newer than the `chosen` one, but were not completely written."""
    newer = [folder for folder in checkpoints(out) if chosen is None or step_of(folder) > step_of(chosen)]
    if newer:
        names = ", ".join(folder.name for folder in sorted(newer, key=step_of))
        begins = "begins again" if chosen is None else f"continues from {chosen.name}"
        message = f"{out}: {names} lacks a whole {STATE}, as after a kill while it was written: the training {begins}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def check_complete(checkpoint: Path, processes: int) -> None:
    """Raise TreestarError if a training cannot be continued exactly, because files are missing.

    Args:
        processes: the number of processes that train together, now and when it was written.
    """
    if (checkpoint / DEEPSPEED).exists():
        return
    ranks = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else ["rng_state.pth"]
    missing = [name for name in ("scheduler.pt", *ranks) if not (checkpoint / name).exists()]
    if not any(any(checkpoint.glob(pattern)) for pattern in OPTIMIZERS):
        missing.insert(0, OPTIMIZERS[0])
    if missing:
        raise TreestarError(
            f"{checkpoint} cannot be continued from: {', '.join(missing)} is missing. Put it back, or delete "
            f"{checkpoint.name} to begin the training again"
        )


@contextmanager
def continuing(trainer: Any, checkpoint: Path | None) -> Iterator[None]:
    """Raises TreestarError instead of what a missing package, or a checkpoint that cannot be read, raises before the
    first step."""
    from transformers import TrainerCallback

    class FirstStep(TrainerCallback):  # type: ignore[misc]  # transformers has no types
        begun = False

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.begun = True

    step = FirstStep()
    trainer.add_callback(step)
    try:
        yield
    except TreestarError:
        raise
    except Exception as error:  # torch and safetensors raise anything
        if isinstance(error, ImportError) and not step.begun:  # of an optimizer or a kernel
            raise TreestarError(f"the trainer cannot be set up: {first_line(error)}") from error
        if checkpoint is None or step.begun:
            raise
        raise TreestarError(
            f"{checkpoint} cannot be continued from: {first_line(error)}. If it is damaged, delete it to begin the "
            "training again"
        ) from error


def checkpoints(out: Path) -> list[Path]:
    return [folder for folder in out.glob("checkpoint-*") if folder.name.rpartition("-")[2].isdigit()]


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
