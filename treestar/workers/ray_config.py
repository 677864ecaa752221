"""Which Ray cluster works, and what each of its actors gets."""

from __future__ import annotations

from dataclasses import dataclass

from treestar.config.checks import check_number, check_whole

__all__ = ["RayConfig"]


@dataclass(frozen=True)
class RayConfig:
    """A cluster and the actors on it. An actor is a process with models and a sandbox of its own.

    Raises:
        ValueError: a number is out of its range.
    """

    address: str = "local"
    """`local`: this machine alone, for as long as the command runs. Else the cluster whose head node is at this
    HOST:PORT; this machine must be one of its nodes. `auto`: the cluster that was started on this machine."""
    actors: int | None = None
    """Actors in all. By default as many as the cluster's nodes have room for when the work begins."""
    actor_cpus: float = 1.0
    """CPU cores that an actor's models, searches and steps are counted as; its models get so many threads. Beside a GPU
    give the cores that its sandbox needs (docs/scaling.md)."""
    actor_gpus: float | None = None
    """GPUs of an actor, all on one node: 4 for vllm:MODEL?tensor_parallel_size=4, 0.5 where two actors share one. By
    default 1 where the cluster has any, else 0; 0 for models behind servers."""
    actor_retries: int = 3
    """How many times a job is given to another actor after the one that was at it has died; then the run ends with an
    error. It also does where every actor has died more often than that, in a row, before its models were loaded."""
    actor_start_seconds: float = 1800.0
    """Seconds within which the first actor must have found its place and loaded its models."""

    def __post_init__(self) -> None:
        check_whole(self, "actors")
        check_number(self, "actor_cpus", "actor_gpus", at_least=0)
        check_whole(self, "actor_retries", at_least=0)
        check_number(self, "actor_start_seconds", above=0)
        if self.actor_cpus == 0 and self.actor_gpus == 0 and self.actors is None:
            raise ValueError("an actor that takes neither CPUs nor GPUs has room everywhere: say how many actors")
