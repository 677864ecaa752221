"""The types of the fields of a configuration dataclass, and the docstrings under them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["field_docstrings", "field_types", "is_optional", "literal_values", "optional_fields", "without_none"]


field_types = cast("Callable[[type[Any]], dict[str, Any]]", cache(get_type_hints))
"""The evaluated types of a dataclass's fields, by name."""


def is_optional(kind: Any) -> bool:
    """Whether None is a value of the type."""
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def names_of_optional(config_class: type[Any]) -> frozenset[str]:
    return frozenset(name for name, kind in field_types(config_class).items() if is_optional(kind))


optional_fields = cast("Callable[[type[Any]], frozenset[str]]", cache(names_of_optional))
"""The names of a dataclass's fields that can be None."""


def without_none(kind: Any) -> Any:
    """The non-None type of an optional type; other types are returned unchanged."""
    if not is_optional(kind):
        return kind
    [other] = [each for each in get_args(kind) if each is not NoneType]
    return other


@cache
def literal_values(kind: Any) -> tuple[Any, ...]:
    """The values of a Literal, or of an optional Literal."""
    other = without_none(kind)
    return get_args(other) if get_origin(other) is Literal else ()


@cache
def field_docstrings(config_class: type) -> dict[str, str]:
    """The string literals under the fields of a dataclass and of its bases, each as one line, by field name."""
    found: dict[str, str] = {}
    for each in reversed(config_class.__mro__[:-1]):
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for line, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
                found[line.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found
