"""Runs tasks (mostly searches) in this process or in actors on a Ray cluster (docs/guides/scale.md)."""

from treestar.workers.open import open_workers
from treestar.workers.ray_config import RayConfig
from treestar.workers.worker import LocalWorkers, Opening, Worker, Workers

__all__ = ["LocalWorkers", "Opening", "RayConfig", "Worker", "Workers", "open_workers"]
