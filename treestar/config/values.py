"""Frozen config dataclasses from YAML values and back.

Strictly: an unknown field, a wrong type or an impossible value is an error that names the field's path and what is
allowed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["config_from_values", "config_to_values"]

ConfigT = TypeVar("ConfigT")


def config_from_values(config_class: type[ConfigT], values: Any, path: str = "") -> ConfigT:
    """The configuration that `values`, as YAML gives them, describes. A field that is not given keeps its default;
    where that is a configuration itself, its fields do.

    Args:
        path: where `values` stand, for errors: `rounds[2].search`.

    Raises:
        ValueError: a field is unknown, missing, of another type, or impossible.
    """
    return read_config(config_class, None, values, path)


def config_to_values(config: Any) -> Any:
    """What `config_from_values` reads back as an equal configuration: mappings, lists and plain values."""
    if is_dataclass(config):
        return {field.name: config_to_values(getattr(config, field.name)) for field in fields(config)}
    if isinstance(config, Mapping):
        return {str(name): config_to_values(value) for name, value in config.items()}
    if isinstance(config, tuple | list):
        return [config_to_values(value) for value in config]
    return config


def read_config(config_class: type[ConfigT], default: ConfigT | None, values: Any, path: str) -> ConfigT:
    """As `config_from_values`; fields that are not given are those of `default`, where there is one."""
    if not isinstance(values, Mapping):
        raise wrong(path, "an object with fields", values)
    hints = get_type_hints(config_class)
    known = {field.name: field for field in fields(cast(Any, config_class)) if field.init}
    for name in values:
        if name not in known:
            raise ValueError(f"{joined(path, name)} is not a field: {path or 'a job'} has {', '.join(known)}")
    given = {}
    for name, field in known.items():
        if name in values:
            given[name] = read_value(hints[name], default_of(field, default), values[name], joined(path, name))
        elif default is None and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{joined(path, name)} is missing")
    try:
        return config_class(**given) if default is None else replace(cast(Any, default), **given)
    except ValueError as error:
        # The classes name themselves; whoever reads a file knows the place in it.
        raise ValueError(str(error).replace(f"{config_class.__name__}.", f"{path}." if path else "", 1)) from error


def default_of(field: Any, default: Any) -> Any:
    """The value that `field` has where it is not given, or None."""
    if default is not None:
        return getattr(default, field.name)
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def read_value(kind: Any, default: Any, value: Any, path: str) -> Any:
    """`value` as the type `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        [kind] = [each for each in arguments if each is not NoneType]
        return read_value(kind, default, value, path)
    if is_dataclass(kind):
        return read_config(cast(Any, kind), default, value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise wrong(path, "a list", value)
        return tuple(read_value(arguments[0], None, each, f"{path}[{index}]") for index, each in enumerate(value))
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise wrong(path, " or ".join(map(str, arguments)), value)
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise wrong(path, "an object: names and values", value)
        return dict(value)
    return read_scalar(kind, value, path)


def read_scalar(kind: type, value: Any, path: str) -> Any:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    if kind is float and isinstance(value, str):
        try:  # YAML takes 1e-4 for a text; it wants 1.0e-4
            return float(value)
        except ValueError:
            pass
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise wrong(path, names[kind], value)
    return value


def joined(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


def wrong(path: str, allowed: str, value: Any) -> ValueError:
    return ValueError(f"{path or 'a job'} must be {allowed}, not {value!r}")
