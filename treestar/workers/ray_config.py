"""The Ray cluster to use, and the resources of its actors."""

from __future__ import annotations

from dataclasses import dataclass

from treestar.config.checks import check_number, check_whole

__all__ = ["RayConfig"]


@dataclass(frozen=True)
class RayConfig:
    """A cluster and the actors on it. An actor is a process with its own models and sandbox.

    Raises:
        ValueError: a number is out of its range.
    """

    address: str = "local"
    """`local`: only this machine, while the command runs. Otherwise HOST:PORT of the cluster's head node; this machine
    must be one of its nodes. `auto`: the cluster that was started on this machine."""
    actors: int | None = None
    """Total number of actors. By default as many as fit on the nodes when the work starts."""
    actor_cpus: float = 1.0
    """CPU cores reserved for each actor; its models use this many threads. With a GPU, set this to the cores that its
    sandbox needs (docs/guides/scale.md)."""
    actor_gpus: float | None = None
    """GPUs of each actor, all on one node: 4 for vllm:MODEL?tensor_parallel_size=4, 0.5 if two actors share one. By
    default 1 if the cluster has any, else 0; 0 for models behind servers."""
    actor_retries: int = 3
    """How many times a task is given to another actor after its actor died; then the run ends with an error. It also
    ends if every actor died more often than that, in a row, before its models were loaded."""
    actor_start_seconds: float = 1800.0
    """Seconds within which the first actor must be placed and have loaded its models."""

    def __post_init__(self) -> None:
        check_whole(self, "actors")
        check_number(self, "actor_cpus", "actor_gpus", at_least=0)
        check_whole(self, "actor_retries", at_least=0)
        check_number(self, "actor_start_seconds", above=0)
        if self.actor_cpus == 0 and self.actor_gpus == 0 and self.actors is None:
            raise ValueError("an actor with neither CPUs nor GPUs fits everywhere: set the number of actors")
