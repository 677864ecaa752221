"""Checks that configuration dataclasses run on their own fields in `__post_init__`.

Every check raises ValueError with the class and the field, what is allowed, and the given value. A field whose type
allows None can be None.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from math import inf
from numbers import Real
from typing import Any

from treestar.config.fields import field_types, literal_values, optional_fields

__all__ = ["check_choice", "check_left_out", "check_number", "check_whole", "invalid"]


def check_whole(config: Any, *names: str, at_least: int = 1) -> None:
    """The fields must be whole numbers, `at_least` or more."""
    optional = optional_fields(type(config))
    for name in names:
        value = getattr(config, name)
        if value is None and name in optional:
            continue
        if not (isinstance(value, int) and not isinstance(value, bool) and value >= at_least):
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
    optional = optional_fields(type(config))
    for name in names:
        value = getattr(config, name)
        # None and the exact types first: asking an abstract class takes longer than all the rest.
        if value is None and name in optional:
            continue
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
    config_class: type = type(config)
    for name in names:
        value, allowed = getattr(config, name), allowed_values(config_class, name)
        if value not in allowed and not (value is None and name in optional_fields(config_class)):
            raise invalid(config, name, " or ".join(map(str, allowed)))


def check_left_out(config: Any, unless: str, *names: str) -> None:
    """The fields, which nothing reads here, must have their defaults.

    Args:
        unless: when something reads them, for example "the mode is rejection".
    """
    defaults = {each.name: each.default for each in fields(config)}
    for name in names:
        if getattr(config, name) != defaults[name]:
            raise invalid(config, name, f"left out unless {unless}")


def invalid(config: Any, name: str, allowed: str) -> ValueError:
    """The error for a field whose value is not allowed."""
    return ValueError(f"{type(config).__name__}.{name} must be {allowed}, not {getattr(config, name)!r}")


@cache
def allowed_values(config_class: type, name: str) -> tuple[Any, ...]:
    """The values of the field's Literal type."""
    return literal_values(field_types(config_class)[name])


def range_text(at_least: float | None, above: float | None, at_most: float | None, below: float | None) -> str:
    """For example "above 0 and at most 1", or "a finite number, 0 or more"."""
    if at_most is None and below is None:
        return f"a finite number, {at_least:g} or more" if above is None else f"a finite number above {above:g}"
    lower = f"at least {at_least:g}" if above is None else f"above {above:g}"
    return f"{lower} and {f'below {below:g}' if at_most is None else f'at most {at_most:g}'}"
