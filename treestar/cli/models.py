"""`treestar models`: which models there are by name, and fetching those that are not in the package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from treestar.cli.progress import quiet_transformers
from treestar.policy.models import FETCHABLE, OFFLINE_POLICY, SHIPPED, base_to_fetch, fetchable_base, fetched_folder
from treestar.types import TreestarError

__all__ = ["fetch_base", "models"]

models = typer.Typer(help="List models by name, and fetch public ones.", invoke_without_command=True)


@models.callback()
def list_models(context: typer.Context) -> None:
    """List the models that have a name: those in the package, and those that can be fetched."""
    if context.invoked_subcommand is not None:
        return
    rows = [("name", "kind", "size", "license", "where")]
    for (kind, name), folder in SHIPPED.items():
        rows.append((name, kind, f"{megabytes(folder)} MB", "Apache-2.0", "in the package"))
    for name, model in FETCHABLE.items():
        folder = fetched_folder(name)
        there = folder.is_dir()
        size = f"{megabytes(folder)} MB" if there else f"up to {model.megabytes} MB"
        where = str(folder) if there else f"not here: treestar models fetch {name}"
        rows.append((name, "policy", size, model.license, where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:  # a table of rich would cut long folders off
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@models.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help=f"The model's name: {', '.join(FETCHABLE)}. Or a policy that adapts one.", show_default=False
        ),
    ],
) -> None:
    """Fetch a public model into your cache.

    Its name then works wherever a policy is named. An interrupted fetch uses what is complete. The cache is
    TREESTAR_CACHE, otherwise treestar in XDG_CACHE_HOME, otherwise ~/.cache/treestar.
    """
    base = fetchable_base(name) or name
    folder, is_new = fetch_with_status(base)
    print(f"{base} is {'now' if is_new else 'already'} in {folder}: --policy {name}")


def fetch_with_status(name: str) -> tuple[Path, bool]:
    """Fetch a model while its progress is shown; as `policy.models.fetch.fetch`."""
    from treestar.policy.models.fetch import fetch as fetch_by_name

    if name in FETCHABLE and not fetched_folder(name).is_dir():
        quiet_transformers()
    console = Console(stderr=True, soft_wrap=True)
    with console.status(f"fetching {name}") as status:
        return fetch_by_name(name, lambda phrase: status.update(phrase))


def fetch_base(*policies: str) -> None:
    """Fetch the models that these policies adapt, the first time that they are used.

    Raises:
        TreestarError: one cannot be fetched; says what works without it.
    """
    for policy in policies:
        missing = base_to_fetch(policy)
        if missing is None or missing == policy:
            continue
        print(f"{policy} adapts {FETCHABLE[missing].title}, which is fetched once", file=sys.stderr)
        try:
            fetch_with_status(missing)
        except TreestarError as error:
            raise TreestarError(f"{error}. What needs no fetching is the policy {OFFLINE_POLICY}") from error


def megabytes(folder: Path) -> int:
    """The size of a folder's files, rounded up."""
    return -(-sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // 1_000_000)
