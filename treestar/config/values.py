"""Converts plain values (YAML, JSON, HTTP) to frozen configuration dataclasses and back.

Reading is strict: an unknown field, a wrong type or an invalid value is an error that names the field's path and what
is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from treestar.config.fields import field_types, is_optional, without_none
from treestar.config.names import suggestion
from treestar.config.renamed import AcceptsOldNames, current_names, warn_of_renaming

__all__ = ["config_from_values", "config_to_values", "read_value"]

ConfigT = TypeVar("ConfigT")

Tell = Callable[[str, str], None]


def config_from_values(
    config_class: type[ConfigT],
    values: Any,
    path: str = "",
    default: ConfigT | None = None,
    tell: Tell = warn_of_renaming,
) -> ConfigT:
    """The configuration with these values.

    A missing field keeps its default. This also applies to the fields of nested configurations.

    Args:
        path: the location of `values`, for errors: `rounds[2].search`.
        default: provides the missing fields, instead of the class.
        tell: called with the old and the new name of each setting given by its old name.

    Raises:
        ValueError: a field is unknown, missing, has the wrong type, or a value that is not allowed.
    """
    if not isinstance(values, Mapping):
        raise wrong(path, "an object with fields", values)
    if issubclass(config_class, AcceptsOldNames):
        values = current_names(values, tell)
    hints = field_types(config_class)
    known = {field.name: field for field in fields(cast(Any, config_class)) if field.init}
    for name in values:
        if name not in known:
            choices = f"{suggestion(str(name), known)}{path or 'a job'} has {', '.join(known)}"
            raise ValueError(f"{joined(path, name)} is not a field: {choices}")
    given = {}
    for name, field in known.items():
        if name in values:
            inner = default_of(field, default)
            given[name] = read_value(hints[name], values[name], joined(path, name), inner, tell)
        elif default is None and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{joined(path, name)} is missing")
    try:
        return config_class(**given) if default is None else replace(cast(Any, default), **given)
    except ValueError as error:
        # The class puts its own name into the message; a reader of a file needs the path.
        raise ValueError(str(error).replace(f"{config_class.__name__}.", f"{path}." if path else "", 1)) from error


def config_to_values(config: Any) -> Any:
    """The configuration as mappings, lists and plain values; the inverse of `config_from_values`."""
    if is_dataclass(config):
        return {field.name: config_to_values(getattr(config, field.name)) for field in fields(config)}
    if isinstance(config, Mapping):
        return {str(name): config_to_values(value) for name, value in config.items()}
    if isinstance(config, tuple | list):
        return [config_to_values(value) for value in config]
    return config


def read_value(kind: Any, value: Any, path: str, default: Any = None, tell: Tell = warn_of_renaming) -> Any:
    """`value` as a field's type `kind`; see `config_from_values`.

    Raises:
        ValueError: it has another type.
    """
    if value is None and is_optional(kind):
        return None
    kind = without_none(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return config_from_values(cast(Any, kind), value, path, default, tell)
    if origin is tuple:
        if not isinstance(value, list):
            raise wrong(path, "a list", value)
        items = enumerate(value)
        return tuple(read_value(arguments[0], each, f"{path}[{index}]", None, tell) for index, each in items)
    if origin is Literal:
        if isinstance(value, bool) or value not in arguments:
            raise wrong(path, " or ".join(map(str, arguments)), value)
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise wrong(path, "an object: names and values", value)
        return dict(value)
    return read_scalar(kind, value, path)


def read_scalar(kind: type, value: Any, path: str) -> Any:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    # YAML reads 1e-4 as a string; JSON needs a string for infinity.
    if kind is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            raise wrong(path, names[kind], value) from None
    if type(value) is not kind:
        raise wrong(path, names[kind], value)
    return value


def default_of(field: Any, default: Any) -> Any:
    """The default of `field`, or None."""
    if default is not None:
        return getattr(default, field.name)
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def joined(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


def wrong(path: str, allowed: str, value: Any) -> ValueError:
    return ValueError(f"{path or 'a job'} must be {allowed}, not {value!r}")
