"""Checks that configuration dataclasses run on their own fields in `__post_init__`.

Every check raises ValueError with the class and the field, what is allowed, and the given value. A field whose type
allows None can be None.
"""

from __future__ import annotations

from math import inf
from numbers import Real
from typing import Any

from treestar.config.fields import field_types, literal_values, optional_fields

__all__ = ["check_choice", "check_number", "check_whole", "invalid"]


def check_whole(config: Any, *names: str, at_least: int = 1) -> None:
    """The fields must be whole numbers, `at_least` or more."""
    for name, value in given(config, names):
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise invalid(config, name, f"a whole number, {at_least} or more")


def check_number(
    config: Any,
    *names: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> None:
    """The fields must be finite numbers in the given range. A lower bound is required, an upper bound is optional."""
    for name, value in given(config, names):
        # The exact types first: asking an abstract class takes longer than all the rest.
        is_number = type(value) in (float, int) or (isinstance(value, Real) and not isinstance(value, bool))
        if not (
            is_number
            and -inf < value < inf
            and (at_least is None or value >= at_least)
            and (above is None or value > above)
            and (at_most is None or value <= at_most)
            and (below is None or value < below)
        ):
            raise invalid(config, name, range_text(at_least, above, at_most, below))


def check_choice(config: Any, *names: str) -> None:
    """The fields must be values of their Literal types."""
    for name, value in given(config, names):
        allowed = literal_values(field_types(type(config))[name])
        if value not in allowed:
            raise invalid(config, name, " or ".join(map(str, allowed)))


def invalid(config: Any, name: str, allowed: str) -> ValueError:
    """The error for a field whose value is not allowed."""
    return ValueError(f"{type(config).__name__}.{name} must be {allowed}, not {getattr(config, name)!r}")


def given(config: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    """The named fields with their values, except those that are None and allow it."""
    optional = optional_fields(type(config))
    return [(name, value) for name in names if (value := getattr(config, name)) is not None or name not in optional]


def range_text(at_least: float | None, above: float | None, at_most: float | None, below: float | None) -> str:
    """For example "above 0 and at most 1", or "a finite number, 0 or more"."""
    if at_most is None and below is None:
        return f"a finite number, {at_least:g} or more" if above is None else f"a finite number above {above:g}"
    lower = f"at least {at_least:g}" if above is None else f"above {above:g}"
    return f"{lower} and {f'below {below:g}' if at_most is None else f'at most {at_most:g}'}"
