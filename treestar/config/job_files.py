"""Jobs as YAML files: from a file to a checked configuration, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from treestar.config.renamed import warn_of_renaming
from treestar.config.values import config_from_values, config_to_values
from treestar.extras import needs_extra
from treestar.types import TreestarError

__all__ = ["job_as_yaml", "job_from_file", "job_from_yaml"]

JobT = TypeVar("JobT")

Tell = Callable[[str, str], None]


def job_from_file(job_class: type[JobT], path: str | Path, tell: Tell = warn_of_renaming) -> JobT:
    """The job in a YAML file.

    Args:
        tell: called with the old and the new name of each setting that the file gives by its old name.

    Raises:
        TreestarError: the file cannot be read or is not a job; the message names the field.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TreestarError(f"job {path} cannot be read: {reason}") from error
    return job_from_yaml(job_class, text, f"job {path}", tell)


def job_from_yaml(job_class: type[JobT], text: str, name: str, tell: Tell = warn_of_renaming) -> JobT:
    """The job in a YAML text; errors call it `name`. Raises TreestarError as `job_from_file` does."""
    try:
        from treestar.config.strict_yaml import InvalidYAML, read_yaml
    except ImportError as error:
        raise needs_extra("a job", "train") from error
    try:
        return config_from_values(job_class, read_yaml(text), tell=tell)
    except InvalidYAML as error:
        raise TreestarError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise TreestarError(f"{name}: {error}") from error


def job_as_yaml(job: object) -> str:
    """The job with all its fields as YAML; the inverse of `job_from_yaml`."""
    from treestar.config.strict_yaml import written_yaml

    return written_yaml(config_to_values(job))
