"""`treestar evolve`: self-evolution of a policy and a PPM over several rounds, from a job file or a preset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from treestar.cli.components import Concurrency, RayAddress, ray_config
from treestar.cli.models import fetch_base
from treestar.cli.options import CLUSTER, with_config_options
from treestar.cli.train import folder_of
from treestar.selfevolve import preset_names
from treestar.types import TreestarError
from treestar.workers import RayConfig

if TYPE_CHECKING:
    from treestar.selfevolve.job import Job

__all__ = ["evolve"]


@with_config_options(RayConfig, without=("address",), group=CLUSTER, own_group="Job and output")
def evolve(
    job: Annotated[
        Path | None, typer.Argument(help="A YAML file that describes the job (docs/guides/evolve.md).")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"A job included with treestar: {', '.join(preset_names())}.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all data, models and reports.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the job in --out; the job file or preset can then be omitted.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the job with all its fields, and exit.")] = False,
    concurrency: Concurrency = 64,
    ray: RayAddress = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options
) -> None:
    """Improve a policy and its PPM over several rounds: search, select, train, evaluate (rStar-Math, section 3.4)."""
    cluster = ray_config(ray, options)
    chosen = chosen_job(job, preset, out if resume else None)
    folder = folder_of(chosen, out, show)
    from treestar.cli.evolve_progress import EvolutionProgress
    from treestar.cli.progress import quiet_transformers, resumable
    from treestar.selfevolve.job import preset_note
    from treestar.selfevolve.job_folder import JOB
    from treestar.selfevolve.rounds import evolve as run_job

    quiet_transformers()
    fetch_base(chosen.bootstrap, chosen.base)
    console = Console(stderr=True, soft_wrap=True)
    try:
        with resumable(folder), EvolutionProgress(console) as progress:
            run_job(chosen, folder, resume=resume, concurrency=concurrency, ray=cluster, progress=progress)
    except TreestarError as error:
        if preset is None or (folder / JOB).exists():
            raise
        raise TreestarError(f"{error}. About the preset {preset}: {preset_note(preset)}") from error
    console.print(f"written: {folder}", highlight=False, markup=False)


def chosen_job(job: Path | None, preset: str | None, resumed: Path | None) -> Job:
    """The job in a file, in a preset, or in the folder to resume.

    Raises:
        typer.BadParameter: neither or both are given.
        TreestarError: the file or preset does not exist, or is not a job.
    """
    from treestar.selfevolve.job import begun_job, load_job, preset_path
    from treestar.selfevolve.job_folder import JOB

    if job is not None and preset is not None:
        raise typer.BadParameter("give a job file or a --preset, not both")
    if job is not None:
        return load_job(job)
    if preset is not None:
        return load_job(preset_path(preset))
    if resumed is None:
        raise typer.BadParameter("give a job file or a --preset")
    if not (resumed / JOB).exists():
        raise typer.BadParameter(f"no job has begun in {resumed}: give a job file or a --preset")
    return begun_job(resumed)
