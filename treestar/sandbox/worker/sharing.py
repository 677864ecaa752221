"""Decides which library values can be shared by several namespaces because no step can change them."""

from __future__ import annotations

import sys
from typing import Any

import numpy
import sympy

from treestar.sandbox.language.compiler import OWN_MODULE
from treestar.sandbox.language.modules import belongs_to_library

__all__ = ["is_library_class", "is_shared"]

MOST_REMEMBERED = 100_000

library_classes: set[type] = set()

checked: dict[int, sympy.Basic] = {}
"""Expressions known to consist only of library objects, by id. Kept alive, so that their ids are not reused."""


def is_shared(value: Any) -> bool:
    """Whether `value` can be shared by all namespaces: a class, expression or scalar that consists only of library
    objects."""
    if isinstance(value, type):
        return is_library_class(value)
    if isinstance(value, sympy.Basic):
        return is_pure(value)
    if isinstance(value, numpy.void):  # a record, whose fields can be set
        return False
    if isinstance(value, numpy.dtype):
        return value.fields is None
    return isinstance(value, (numpy.generic, sympy.polys.domains.domain.Domain)) and is_library_class(type(value))


def is_library_class(value: object) -> bool:
    """Whether `value` is a class that a library defines. Looks it up in the library, because a name can be forged."""
    if not isinstance(value, type):
        return False
    if value not in library_classes and found_in_library(value):
        library_classes.add(value)
    return value in library_classes


def found_in_library(value: type) -> bool:
    if belongs_to_library(value) or issubclass(type(value), sympy.core.function.UndefinedFunction):
        return True
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value and value.__module__ != OWN_MODULE


def is_pure(expression: sympy.Basic) -> bool:
    """Whether every part of `expression` is an instance of a library's class."""
    waiting, seen = [expression], []
    while waiting:
        part = waiting.pop()
        if id(part) in checked:
            continue
        if not isinstance(part, sympy.Basic) or not is_library_class(type(part)):
            return False
        if isinstance(part, sympy.Wild) and part.properties:  # a step's own functions
            return False
        seen.append(part)
        waiting += part.args
    if len(checked) > MOST_REMEMBERED:
        checked.clear()
    checked.update((id(part), part) for part in seen)
    return True
